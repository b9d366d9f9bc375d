-- The engine accepted the completion: the journal entry is only kept for a delivery that is on its way, and for the
-- transcript as long as that does not have it.
-- KEYS    turn
-- ARGV    ttl ms
-- returns 1 | 0 (no entry, or one that a newer worker wrote)
-- repeat  starts the ttl anew
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= '1' then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'done')
-- It keeps the life of its answer until `recorded` finds that nothing more is to come.
if redis.call('HEXISTS', KEYS[1], 'unrecorded') == 1 then
  return 1
end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
