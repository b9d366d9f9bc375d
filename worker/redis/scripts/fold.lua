-- Put one entry in the place of the oldest ones of a history, if nobody has done so since they were read.
-- KEYS    thread, history, lease of who folds
-- ARGV    thread id, how many turns had been folded, how many entries go, the entry, how many turns are folded now,
--         token of the lease, which ends with this
-- returns 1 | 0 (the thread is another one, or was folded meanwhile: nothing is changed)
-- repeat  finds it folded and says 0
-- Not kept for its whole time: many quick turns would make the history too long meanwhile.
if redis.call('HGET', KEYS[3], 'token') == ARGV[6] then
  redis.call('DEL', KEYS[3])
end
-- `base` grows with each fold, and so tells whether another came first. Turns added since stay behind the entry.
local map = redis.call('HMGET', KEYS[1], 'id', 'base', 'turns')
local count = tonumber(ARGV[3])
if map[1] ~= ARGV[1] or (map[2] or '0') ~= ARGV[2] or redis.call('LLEN', KEYS[2]) < count then
  return 0
end
redis.call('LTRIM', KEYS[2], count, -1)
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], 'base', ARGV[5], 'turns', (tonumber(map[3] or '') or 0) - count + 1)
-- Where all entries went, the list is a new one and would have no end.
redis.call('PEXPIRE', KEYS[2], math.max(1, redis.call('PTTL', KEYS[1])))
return 1
