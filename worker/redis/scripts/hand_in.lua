-- Take an exchange that has waited in a worker's memory, as Redis was away when its answer came, for one sink.
-- KEYS    turn, mark of erasing, the hash that has what the sink has yet to get (the transcript's is the turn)
-- ARGV    attempt, what the sink is to have of it, microseconds since its answer came, ttl ms
-- returns 1 | 0 (it was erased meanwhile: nothing was kept) | 'newer' (a newer worker has the turn: as above)
-- repeat  finds it there; or keeps it again if the sink has taken it meanwhile, which is the same to sinks
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return 'newer'
end
if redis.call('EXISTS', KEYS[1]) == 0 and redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local turn = redis.call('HMGET', KEYS[1], 'state', 'attempt')
if turn[1] == 'intent' and turn[2] == ARGV[1] then
  -- The call is over. Whoever enters looks on the thread, where the answer is, and need not wait.
  redis.call('HDEL', KEYS[1], 'deadline', 'limit', 'open', 'deaths')
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[3], 'unrecorded', '1')
if redis.call('HSETNX', KEYS[3], 'exchange:' .. ARGV[1], ARGV[2]) == 1 then
  redis.call('HSET', KEYS[3], 'at:' .. ARGV[1], string.format('%.0f', time[1] * 1000000 + time[2] - ARGV[3]))
end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 1
