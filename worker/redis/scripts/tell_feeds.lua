-- Say how many feeds of a person are open at a worker, in place of what it said before.
-- KEYS    the person's counts: by worker, "<count> <ms until which it counts>"
-- ARGV    worker, count, the most that there may be at all workers (empty: any number), ms for which this counts
-- returns 1 if it is noted, 0 if there would be too many: then nothing is changed
-- repeat  changes nothing
local worker, count, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local others = 0
local told = redis.call('HGETALL', KEYS[1])
for at = 1, #told, 2 do
  local open, till = string.match(told[at + 1], '^(%d+) (%d+)$')
  -- A worker that is gone, or what nobody can have written.
  if not open or tonumber(till) <= now then
    redis.call('HDEL', KEYS[1], told[at])
  elseif told[at] ~= worker then
    others = others + tonumber(open)
  end
end
if most and others + count > most then
  return 0
end
if count == 0 then
  redis.call('HDEL', KEYS[1], worker)
else
  redis.call('HSET', KEYS[1], worker, string.format('%d %.0f', count, now + ARGV[4]))
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
