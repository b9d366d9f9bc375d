-- Note that a call starts now, under the hold, and by when it has ended, by the clock of this server. It counts until
-- `leave` says that it costs nothing; under one hold one call counts at most, as whatever comes before it was refused.
-- KEYS    turn, hold, thread, watched
-- ARGV    token, attempt, limit ms, journal ttl ms, key of the process' definition and id of the instance that it is of ('': none),
--         generation of the memory's subject by which the question was put ('': nothing is to be remembered)
-- returns 2 (somebody watches the thread) | 1 (nobody) | 0 (the hold is lost, an answer has come meanwhile, or a newer worker has the turn: no call must start)
-- repeat  moves the deadline a little, and counts nothing more; the id of an earlier call is gone either way
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then
  return 0
end
local schema, state, deadline_before, counted, calls =
  unpack(redis.call('HMGET', KEYS[1], 'schema', 'state', 'deadline', 'counted', 'calls'))
if (schema and schema ~= '1') or state == 'answered' or state == 'done' then
  return 0
end
local map = redis.call('HMGET', KEYS[3], 'schema', 'running')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = string.format('%.0f', now + ARGV[3])
if counted ~= ARGV[1] then -- what `leave` puts back if this call is refused
  redis.call('HDEL', KEYS[1], 'before', 'beside')
  if state == 'intent' and deadline_before then
    redis.call('HSET', KEYS[1], 'before', deadline_before)
  end
  if map[2] then
    redis.call('HSET', KEYS[1], 'beside', map[2])
  end
  redis.call('HSET', KEYS[1], 'counted', ARGV[1], 'calls', (tonumber(calls or '') or 0) + 1)
end
redis.call('HSET', KEYS[1], 'state', 'intent', 'attempt', ARGV[2], 'deadline', deadline, 'limit', ARGV[3], 'process', ARGV[5], 'instance', ARGV[6])
if ARGV[7] ~= '' then -- the first one's: whichever call it is whose answer is found, it was put no earlier
  redis.call('HSETNX', KEYS[1], 'memory', ARGV[7])
end
-- It was of a call before this one; `note` says where this one runs.
redis.call('HDEL', KEYS[1], 'response')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if (map[1] or '1') == '1' and redis.call('EXISTS', KEYS[3]) == 1 then -- for other tasks, which do not know this turn
  redis.call('HSET', KEYS[3], 'running', ARGV[1] .. ':' .. deadline .. ':' .. ARGV[3])
end
return 1 + redis.call('EXISTS', KEYS[4])
