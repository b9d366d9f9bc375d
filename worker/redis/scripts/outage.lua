-- Read why a provider cannot be asked; note it if nobody has; be the one who probes it if nobody is.
-- KEYS    outage
-- ARGV    this worker, what it has found: 'away' | 'paused' | '' (nothing), reason, how often it has probed in vain,
--         '1' this worker can probe | '0', lease of the probe ms, ms that the note lives without a probing worker,
--         ms for which it counts that this worker waits to probe
-- returns {} (no outage is known) | {what was found, reason, by, since ms, probes in vain, 1 this worker is to probe | 0}
-- repeat  finds it noted, and the same worker probing
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[2] == '' then
    return {}
  end
  redis.call('HSET', KEYS[1], 'found', ARGV[2], 'reason', ARGV[3], 'by', ARGV[1], 'tries', ARGV[4])
  redis.call('HSET', KEYS[1], 'since', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
local known = redis.call('HMGET', KEYS[1], 'found', 'reason', 'by', 'since', 'tries', 'prober', 'probes_until', 'rests', 'rests_until')
-- Each look of the prober moves this on; of one that died nothing more is heard.
local free = not known[6] or (tonumber(known[7] or '') or 0) <= now
local rests = known[8] == ARGV[1] and (tonumber(known[9] or '') or 0) > now
local ours = 0
if ARGV[5] == '1' and (known[6] == ARGV[1] or (free and not rests)) then
  -- Only here the note lives on: one that nobody probes ends by itself.
  redis.call('HSET', KEYS[1], 'prober', ARGV[1], 'probes_until', string.format('%.0f', now + ARGV[6]))
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  ours = 1
elseif ARGV[5] == '1' and not rests then
  redis.call('HSET', KEYS[1], 'waits_until', string.format('%.0f', now + ARGV[8]))
end
return {known[1] or '', known[2] or '', known[3] or '', tonumber(known[4] or '') or now, tonumber(known[5] or '') or 0, ours}
