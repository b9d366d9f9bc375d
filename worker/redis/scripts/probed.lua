-- Note that a provider was probed in vain, and let a worker that waits probe next: it may be this one's way that is shut.
-- KEYS    outage
-- ARGV    this worker, what it has found ('away' | 'paused'), reason, how often it was probed in vain, ms for which this
--         worker leaves the probe to others
-- returns 1 | 0 (no outage is noted, or another worker probes)
-- repeat  finds nobody probing, or notes the same again
if redis.call('HGET', KEYS[1], 'prober') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HGET', KEYS[1], 'tries') ~= ARGV[4] then
  redis.call('HINCRBY', KEYS[1], 'tried:' .. ARGV[1], 1)
end
redis.call('HSET', KEYS[1], 'found', ARGV[2], 'reason', ARGV[3], 'tries', ARGV[4])
-- Without anybody who waits this worker stays the prober, or nobody would be one.
if (tonumber(redis.call('HGET', KEYS[1], 'waits_until') or '') or 0) > now then
  redis.call('HSET', KEYS[1], 'rests', ARGV[1], 'rests_until', string.format('%.0f', now + ARGV[5]))
  redis.call('HDEL', KEYS[1], 'prober', 'probes_until', 'waits_until')
end
return 1
