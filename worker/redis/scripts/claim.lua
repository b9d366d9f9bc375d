-- Take turns that are due, the oldest first, and have them due again later, should nobody settle them.
-- KEYS    list of turns that a sink may not have yet, by when they are due
-- ARGV    how many at most, ms until they are due again
-- returns their names, each followed by its ticket: when it is due again
-- repeat  takes others
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local ticket = string.format('%.0f', now + ARGV[2])
  redis.call('ZADD', KEYS[1], ticket, name)
  taken[#taken + 1] = name
  taken[#taken + 1] = ticket
end
return taken
