-- Keep an attempt's first answer, with or without the hold, and let go of the hold if it is ours.
-- KEYS    turn, hold, thread, history, mark of erasing, then of each sink the hash that has what it has yet to get
-- ARGV    token, attempt, answer, journal ttl ms, id of the thread whose variable was written ('': none),
--         what the sinks are to have of it, id of the thread that it was given on ('': none),
--         anchor of the account that this is in ('': not known), what that thread's history is to have of it ('': nothing),
--         tokens that it read and wrote ('': not known), the person whom it answers ('': it is a task's)
-- returns the answer that counts (of a turn that was erased it is kept nowhere) | false (a newer worker has the turn, and nothing was kept)
-- repeat  finds the answer kept and returns it
-- First of all, also where a newer worker has the turn: nothing runs on the thread any more.
if redis.call('HGET', KEYS[2], 'token') == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
if string.find(redis.call('HGET', KEYS[3], 'running') or '', ARGV[1], 1, true) == 1 then
  redis.call('HDEL', KEYS[3], 'running')
end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[3], 'id') == ARGV[5] then
  redis.call('HSET', KEYS[3], 'published', '1')
end
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return false
end
-- Asked before it was erased: whoever enters after that has an entry, also for the same task.
if redis.call('EXISTS', KEYS[1]) == 0 and redis.call('EXISTS', KEYS[5]) == 1 then
  return ARGV[3]
end
if ARGV[8] ~= '' and redis.call('HGET', KEYS[3], 'id') == ARGV[7] then
  redis.call('HSET', KEYS[3], 'anchor', ARGV[8])
end
local turn = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'answer')
if turn[2] == ARGV[2] and (turn[1] == 'answered' or turn[1] == 'done') then
  return turn[3]
end
if turn[2] and tonumber(turn[2]) > tonumber(ARGV[2]) then
  return ARGV[3] -- an attempt that was given up: of no use to the journal, and its task is not its worker's any more
end
redis.call('HSET', KEYS[1], 'state', 'answered', 'attempt', ARGV[2], 'answer', ARGV[3])
redis.call('HDEL', KEYS[1], 'deadline', 'limit', 'response', 'trouble_since', 'open', 'deaths', 'memory')
local time = redis.call('TIME')
-- As text: by itself Lua writes 14 digits of a number.
local microseconds = string.format('%.0f', time[1] * 1000000 + time[2])
-- In one step with the answer: no death leaves one that the sinks never hear of.
for index = 6, #KEYS do
  redis.call('HSET', KEYS[index], 'unrecorded', '1')
  -- One of this attempt is there if its answer could not be read any more; sinks keep the first as well.
  if redis.call('HSETNX', KEYS[index], 'exchange:' .. ARGV[2], ARGV[6]) == 1 then
    redis.call('HSET', KEYS[index], 'at:' .. ARGV[2], microseconds)
  end
  redis.call('PEXPIRE', KEYS[index], ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[7] ~= '' and redis.call('HGET', KEYS[3], 'id') == ARGV[7] then
  redis.call('HINCRBY', KEYS[3], 'answers', 1)
  if ARGV[11] ~= '' then
    redis.call('HINCRBY', KEYS[3], 'heard', 1)
    redis.call('HINCRBY', KEYS[3], 'heard:' .. ARGV[11], 1)
  end
end
if ARGV[10] ~= '' and redis.call('HGET', KEYS[3], 'id') == ARGV[7] then
  redis.call('HSET', KEYS[3], 'tokens', ARGV[10])
end
if ARGV[9] ~= '' and redis.call('HGET', KEYS[3], 'id') == ARGV[7] then
  redis.call('RPUSH', KEYS[4], ARGV[9])
  redis.call('HINCRBY', KEYS[3], 'turns', 1)
  redis.call('PEXPIRE', KEYS[4], redis.call('PTTL', KEYS[3]))
end
return ARGV[3]
