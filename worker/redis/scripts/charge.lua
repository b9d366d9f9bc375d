-- Charge a call that is about to start for all that it may take, unless that is more than is left.
-- KEYS    budget
-- ARGV    id of the call, tokens, money in billionths, the most of both ('': no bound), ttl ms, currency
-- returns {'1', tokens, money used by now} | {'0', the same} (more than is left: nothing was changed)
-- repeat  finds the call charged, and changes nothing but the ttl
-- `money` is of the currency that was the first here. What is of another one has a field, and its calls a mark, of its own.
local other = (redis.call('HGET', KEYS[1], 'currency') or ARGV[7]) == ARGV[7] and '' or ':' .. ARGV[7]
local used = redis.call('HMGET', KEYS[1], 'tokens', 'money' .. other, 'call:' .. ARGV[1])
local tokens, money = tonumber(used[1] or '') or 0, tonumber(used[2] or '') or 0
if not used[3] then
  local after, paid = tokens + ARGV[2], money + ARGV[3]
  if (ARGV[4] ~= '' and after > tonumber(ARGV[4])) or (ARGV[5] ~= '' and paid > tonumber(ARGV[5])) then
    -- As text: by itself Lua writes 14 digits of a number, and money in billionths may have more.
    return {'0', string.format('%.0f', tokens), string.format('%.0f', money)}
  end
  redis.call('HSETNX', KEYS[1], 'currency', ARGV[7])
  redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'money' .. other, ARGV[3])
  redis.call('HSET', KEYS[1], 'call:' .. ARGV[1], ARGV[2] .. ':' .. ARGV[3] .. other)
  tokens, money = after, paid
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return {'1', string.format('%.0f', tokens), string.format('%.0f', money)}
