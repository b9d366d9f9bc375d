-- Note which account a thread is in, if the map names this thread.
-- KEYS    thread
-- ARGV    thread id, anchor
-- returns 1 | 0 (the map names another)
-- repeat  the same
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'anchor', ARGV[2])
return 1
