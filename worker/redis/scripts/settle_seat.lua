-- Give a seat back, and have the meters show what it was used for.
-- KEYS    meters, tokens of taken seats by the end of their lease, what each was taken for
-- ARGV    token, calls that were made, tokens of text that they took ('': as was thought), ms for a request,
--         ms for a token of text
-- returns 1 | 0 (it was given back before, or its lease has ended)
-- repeat  finds no seat and changes nothing
local began, thought = string.match(redis.call('HGET', KEYS[3], ARGV[1]) or '', '^(%d+) (%d+)$')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
if not began then
  return 0
end
local calls = tonumber(ARGV[2])
local tokens = calls == 0 and 0 or tonumber(ARGV[3]) or tonumber(thought)
-- `take_seat` has paid for one request and for tokens as thought: only the difference is moved.
redis.call('HINCRBYFLOAT', KEYS[1], 'requests', string.format('%.3f', (calls - 1) * ARGV[4]))
redis.call('HINCRBYFLOAT', KEYS[1], 'tokens', string.format('%.3f', (tokens - thought) * ARGV[5]))
if calls > 0 then
  -- How long calls take says when a seat becomes free again.
  local time = redis.call('TIME')
  local took = time[1] * 1000 + math.floor(time[2] / 1000) - began
  local known = tonumber(redis.call('HGET', KEYS[1], 'took') or '')
  redis.call('HSET', KEYS[1], 'took', string.format('%.0f', known and 0.8 * known + 0.2 * took or took))
end
return 1
