-- Let go of the hold without an answer.
-- KEYS    turn, hold, thread
-- ARGV    token, '1' the call may have run | '0' it did not: withdraw the intent, '1' trouble | '0', journal ttl ms,
--         '1' the call of this hold certainly costs nothing: it does not count | '0'
-- returns 1 | 0 (the hold was lost before)
-- repeat  finds no hold and changes nothing more
local function runs_on_the_thread()
  return string.find(redis.call('HGET', KEYS[3], 'running') or '', ARGV[1], 1, true) == 1
end
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then -- a newer worker has the turn: only the hold is ours
  if redis.call('HGET', KEYS[2], 'token') == ARGV[1] then
    return redis.call('DEL', KEYS[2])
  end
  return 0
end
if redis.call('HGET', KEYS[1], 'open') == ARGV[1] then -- heard of, even if the hold ran out meanwhile
  redis.call('HDEL', KEYS[1], 'open', 'deaths')
end
if ARGV[5] == '1' and redis.call('HGET', KEYS[1], 'counted') == ARGV[1] then -- as above
  redis.call('HSET', KEYS[1], 'calls', math.max(0, (tonumber(redis.call('HGET', KEYS[1], 'calls') or '') or 0) - 1))
  local earlier = redis.call('HMGET', KEYS[1], 'state', 'before', 'beside')
  if earlier[1] == 'intent' and earlier[2] then -- a call of before is all that may run
    redis.call('HSET', KEYS[1], 'deadline', earlier[2])
  end
  if earlier[3] and runs_on_the_thread() then
    redis.call('HSET', KEYS[3], 'running', earlier[3])
  elseif runs_on_the_thread() then
    redis.call('HDEL', KEYS[3], 'running')
  end
  redis.call('HDEL', KEYS[1], 'counted', 'before', 'beside')
end
-- Noted once, so that it tells since when; an answer, or a person who sets the retries, takes it away.
if ARGV[3] == '1' then
  local time = redis.call('TIME')
  redis.call('HSETNX', KEYS[1], 'trouble_since', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
-- Who has the hold now may have an intent of its own, which is not ours to withdraw.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
if ARGV[2] == '0' and redis.call('HGET', KEYS[1], 'state') == 'intent' then
  redis.call('HSET', KEYS[1], 'state', 'open')
  redis.call('HDEL', KEYS[1], 'deadline', 'response', 'memory')
  if runs_on_the_thread() then
    redis.call('HDEL', KEYS[3], 'running')
  end
end
return 1
