-- Note that a worker lives and what it has, and forget those that have not been heard of for long.
-- KEYS    workers of the engine
-- ARGV    name of the worker, what it has, ms for which workers are remembered
-- returns 1
-- repeat  the same
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGETALL', KEYS[1])
for index = 1, #known, 2 do
  local heard = tonumber(string.match(known[index + 1], '^%d+'))
  if not heard or heard < now - ARGV[3] then
    redis.call('HDEL', KEYS[1], known[index])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
