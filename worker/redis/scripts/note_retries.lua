-- Note how many retries the engine has been told that the task has left: a delivery with more is a person's doing.
-- KEYS    turn
-- ARGV    retries
-- returns 1 | 0 (nothing is known of this turn, or a newer worker wrote it)
-- repeat  notes the same again
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return 0
end
redis.call('HSET', KEYS[1], 'retries', ARGV[1])
return 1
