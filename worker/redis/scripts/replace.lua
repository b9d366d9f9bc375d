-- Note that a thread is to be left for a new one at its next turn, if the map names this thread.
-- KEYS    thread
-- ARGV    thread id, why and by whom, 'renew' | 'rewind': the new one is not told all of what was said
-- returns 1 | 0 (the map names another) | 'newer' (a newer worker wrote the map: nothing was changed)
-- repeat  the same
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return 'newer'
end
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[3] .. ':' .. ARGV[1], ARGV[2])
return 1
