-- Take a field away, if it still says this.
-- KEYS    hash
-- ARGV    field, what it says
-- returns 1 | 0 (it says something else, or is gone)
-- repeat  0, and it is gone
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
