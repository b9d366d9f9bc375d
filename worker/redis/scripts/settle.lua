-- Take a turn off the list, or have it due at another time, unless it was listed anew since it was taken.
-- KEYS    list of turns that a sink may not have yet, by when they are due
-- ARGV    name of the turn's key, its ticket, ms until it is due again ('': never)
-- returns 1 | 0 (listed anew)
-- repeat  finds another ticket, or none, and does nothing
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not due or tonumber(due) ~= tonumber(ARGV[2]) then
  return 0
end
if ARGV[3] == '' then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
return 1
