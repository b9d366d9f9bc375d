-- Have no call start at a provider for a while.
-- KEYS    meters
-- ARGV    ms, ms that the meters are kept if nothing more comes
-- returns when seats are taken again, in ms
-- repeat  moves it to a later now
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
until_ms = math.max(until_ms, tonumber(redis.call('HGET', KEYS[1], 'closed') or '') or 0)
redis.call('HSET', KEYS[1], 'closed', string.format('%.0f', until_ms))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return until_ms
