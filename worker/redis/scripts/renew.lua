-- Hold on for another lease.
-- KEYS    hold
-- ARGV    token, lease ms
-- returns 1 | 0 (the hold is lost)
-- repeat  the same
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
