-- Forget exchanges that a sink has.
-- KEYS    the hash that has what the sink has yet to get, turn (the same of the transcript)
-- ARGV    ttl ms of a turn that is over, then the attempts
-- returns 1 (nothing more will come of this turn as it stands) | 2 (or this moment: it is being written, or came meanwhile) |
--         0 (or nobody knows when, or a newer worker wrote it, and it is as it was)
-- repeat  finds them forgotten
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return 0
end
for index = 2, #ARGV do
  redis.call('HDEL', KEYS[1], 'exchange:' .. ARGV[index], 'at:' .. ARGV[index])
end
-- What came meanwhile, or only a newer worker can read, keeps the turn on the list.
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(name, 1, 9) == 'exchange:' then
    return 2
  end
end
redis.call('HDEL', KEYS[1], 'unrecorded')
local turn = redis.call('HMGET', KEYS[2], 'state', 'deadline')
if turn[1] == 'done' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
-- Of an open turn the next answer lists it anew; so does that of a call which is known to be over.
if turn[1] ~= 'intent' or not turn[2] then
  return 1
end
-- An answer is listed just before it is kept. Of a worker that has died in between, only the call's end tells.
local time = redis.call('TIME')
return tonumber(turn[2]) and tonumber(turn[2]) > time[1] * 1000 + math.floor(time[2] / 1000) and 2 or 0
