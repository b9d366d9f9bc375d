-- Drop an attempt's answer, so that the next attempt asks anew.
-- KEYS    turn
-- ARGV    attempt, journal ttl ms, what the next attempt has to put right ('': nothing)
-- returns 1 | 0 (another attempt is on already, or a newer worker wrote it)
-- repeat  finds the next attempt and does nothing
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return 0
end
if (redis.call('HGET', KEYS[1], 'attempt') or '1') ~= ARGV[1] then
  return 0
end
local dropped = tonumber(redis.call('HGET', KEYS[1], 'dropped') or '') or 0
redis.call('HSET', KEYS[1], 'state', 'open', 'attempt', ARGV[1] + 1, 'repair', ARGV[3], 'dropped', dropped + 1)
redis.call('HDEL', KEYS[1], 'answer', 'deadline', 'response', 'trouble_since', 'memory')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
