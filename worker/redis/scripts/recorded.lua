-- Forget exchanges that a sink has.
-- KEYS    the hash that has what the sink has yet to get, turn (the same of the transcript)
-- ARGV    ttl ms of a turn that is over, then the attempts
-- returns 1 (nothing more will come of this turn as it stands) | 0 (or a newer worker wrote it, and it is as it was)
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
    return 0
  end
end
redis.call('HDEL', KEYS[1], 'unrecorded')
local turn = redis.call('HMGET', KEYS[2], 'state', 'deadline')
if turn[1] == 'done' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
-- Of an open turn the next answer lists it anew; so does that of a call which is known to be over.
return turn[1] == 'intent' and turn[2] and 0 or 1
