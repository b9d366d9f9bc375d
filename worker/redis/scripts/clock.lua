-- Tell the time of this server, by which deadlines are written.
-- KEYS    any name
-- ARGV    none
-- returns ms since the epoch
-- repeat  a later time
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
