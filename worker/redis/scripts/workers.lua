-- List the workers that were heard of lately.
-- KEYS    workers of the engine
-- ARGV    ms
-- returns their names, each followed by what it has
-- repeat  the same
local time = redis.call('TIME')
local since = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local known = redis.call('HGETALL', KEYS[1])
local found = {}
for index = 1, #known, 2 do
  local heard, told = string.match(known[index + 1], '^(%d+) (.*)$')
  if heard and tonumber(heard) >= since then
    found[#found + 1] = known[index]
    found[#found + 1] = told
  end
end
return found
