-- Note under which id the provider runs the intended call, so that whoever comes next can fetch its answer.
-- KEYS    turn
-- ARGV    attempt, response id, journal ttl ms
-- returns 1 | 0 (no call of this attempt is known to run: it has been answered, given up, or forgotten,
--         or a newer worker has the turn)
-- repeat  notes the same id again
local turn = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'schema')
if turn[1] ~= 'intent' or turn[2] ~= ARGV[1] or (turn[3] or '1') ~= '1' then
  return 0
end
redis.call('HSET', KEYS[1], 'response', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
