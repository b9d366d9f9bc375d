-- Read what was said on a thread whose history we keep.
-- KEYS    thread, history
-- ARGV    thread id, how many of the newest turns at most
-- returns {1, how many there are, turns, the oldest first} | {0} (the map does not name this thread, or some of its history is lost)
-- repeat  the same
local map = redis.call('HMGET', KEYS[1], 'id', 'turns')
if map[1] ~= ARGV[1] then
  return {0}
end
local length = redis.call('LLEN', KEYS[2])
if length < (tonumber(map[2] or '') or 0) then
  return {0}
end
return {1, length, redis.call('LRANGE', KEYS[2], -ARGV[2], -1)}
