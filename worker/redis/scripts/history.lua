-- Read what was said on a thread whose history we keep.
-- KEYS    thread, history
-- ARGV    thread id
-- returns {1, how many turns are folded, entries, the oldest first} |
--         {0} (the map does not name this thread, or some of its history is lost)
-- repeat  the same
local map = redis.call('HMGET', KEYS[1], 'id', 'turns', 'base')
if map[1] ~= ARGV[1] then
  return {0}
end
local said = redis.call('LRANGE', KEYS[2], 0, -1)
-- Fewer than were counted: some of it is lost, and the rest must not be taken for the whole.
if #said < (tonumber(map[2] or '') or 0) then
  return {0}
end
return {1, map[3] or '0', said}
