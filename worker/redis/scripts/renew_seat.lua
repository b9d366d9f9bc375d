-- Keep a taken seat for another lease.
-- KEYS    tokens of taken seats by the end of their lease
-- ARGV    token, lease ms
-- returns 1 | 0 (it was given back, or its lease has ended)
-- repeat  the same
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
return 1
