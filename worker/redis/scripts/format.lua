-- Note the format of what is kept for an engine, unless a higher one is noted.
-- KEYS    format of the engine
-- ARGV    the format of this worker
-- returns the format that is noted now
-- repeat  the same
local noted = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if noted < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
  noted = tonumber(ARGV[1])
end
return noted
