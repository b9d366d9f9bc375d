-- Write the map, under the hold, if the thread there is still the one to be replaced, and nobody has ordered meanwhile that
-- its successor is not told all.
-- KEYS    hold, thread, history
-- ARGV    token, thread id, generation, generation it replaces ('0': none), thread ttl ms, process instance that binds it,
--         anchor of the account that the thread is in ('': not known), its provider,
--         what is to be known of the thread that it replaces and that is still there ('': nothing),
--         tokens that it begins with, what it knows of before with the task that it is made for ('': all of it),
--         what is not told any more of what was said under this key ('': as before), the words of the order to rewind that
--         it is made for ('': none), the order to leave the thread before as it was read ('': none),
--         when the engine made the instance whose thread it is ('': not known), then turns that the history begins with
-- returns 1 | 0 (refused, nothing written: also where a newer worker wrote the map)
-- repeat  finds its own thread bound and says 1, even if the hold is lost by then: the map does name it
local bound = redis.call('HMGET', KEYS[2], 'id', 'generation')
if bound[1] == ARGV[2] and bound[2] == ARGV[3] then
  return 1
end
local schema = redis.call('HGET', KEYS[2], 'schema')
if schema and schema ~= '1' then
  return 0
end
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
if (bound[2] or '0') ~= ARGV[4] then
  return 0
end
local order = bound[1] and redis.call('HGET', KEYS[2], 'rewind:' .. bound[1])
if order and order ~= ARGV[14] then
  return 0
end
if ARGV[9] ~= '' and bound[1] then
  redis.call('HSET', KEYS[2], 'former:' .. bound[1], ARGV[9])
end
if bound[1] then
  -- Whatever the new thread is for, the order to leave this one is carried out by it.
  redis.call('HDEL', KEYS[2], 'renew:' .. bound[1], 'rewind:' .. bound[1], 'memory:' .. bound[1], 'rewound:' .. bound[1])
end
redis.call('HSET', KEYS[2], 'id', ARGV[2], 'generation', ARGV[3], 'instance', ARGV[6], 'provider', ARGV[8])
-- All of this was said of the thread before.
redis.call('HDEL', KEYS[2], 'published', 'anchor', 'turns', 'base', 'tokens', 'running')
if ARGV[10] ~= '0' then
  redis.call('HSET', KEYS[2], 'tokens', ARGV[10])
end
if ARGV[11] ~= '' then
  redis.call('HSET', KEYS[2], 'memory:' .. ARGV[2], ARGV[11])
end
if ARGV[12] ~= '' then
  redis.call('HSET', KEYS[2], 'cuts', ARGV[12])
end
if ARGV[13] ~= '' then
  redis.call('HSET', KEYS[2], 'rewound:' .. ARGV[2], ARGV[13])
end
if ARGV[15] ~= '' then
  redis.call('HSET', KEYS[2], 'began', ARGV[15])
end
redis.call('DEL', KEYS[3])
for index = 16, #ARGV do
  redis.call('RPUSH', KEYS[3], ARGV[index])
end
if #ARGV >= 16 then
  redis.call('HSET', KEYS[2], 'turns', #ARGV - 15)
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[2], 'anchor', ARGV[7])
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
