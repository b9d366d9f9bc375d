-- Take a hold, of whatever kind, unless somebody has it.
-- KEYS    hold
-- ARGV    what for, token, lease ms
-- returns 1 | 0 (somebody else has it)
-- repeat  the same token takes the same hold again
local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'task', ARGV[1], 'token', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
