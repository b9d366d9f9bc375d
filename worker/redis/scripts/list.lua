-- Note that a turn will have something for the transcript; due now.
-- KEYS    list of unrecorded turns, by when they are due
-- ARGV    name of the turn's key
-- returns when it is due, in ms
-- repeat  moves it to a later now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
return now
