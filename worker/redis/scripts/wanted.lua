-- Note since when something is wanted that nobody has.
-- KEYS    what is wanted
-- ARGV    ms after which it is forgotten
-- returns ms since it was first wanted
-- repeat  a longer time
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', now), 'NX', 'PX', ARGV[1])
return now - (tonumber(redis.call('GET', KEYS[1]) or '') or now)
