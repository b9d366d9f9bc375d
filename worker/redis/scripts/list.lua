-- Note that a turn will have something for a sink; due now.
-- KEYS    list of turns that the sink may not have yet, by when they are due
-- ARGV    name of the turn's key, ms that the list is kept if nothing more comes ('': as long as there are turns)
-- returns when it is due, in ms
-- repeat  moves it to a later now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
if ARGV[2] ~= '' then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return now
