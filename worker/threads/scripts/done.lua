-- The engine accepted the completion: the journal entry is only kept for a delivery that is on its way.
-- KEYS    turn
-- ARGV    ttl ms
-- returns 1 | 0 (no entry)
-- repeat  starts the ttl anew
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'done')
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
