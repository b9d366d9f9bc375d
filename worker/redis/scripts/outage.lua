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
-- Older workers leave the probe to whoever comes, and that only once.
local rests = known[8] == ARGV[1] and (tonumber(known[9] or '') or 0) > now
if free and known[6] ~= ARGV[1] and not rests and ARGV[5] == '1' then
  -- Whoever waits and has probed in vain less often comes first: several whose own way is shut must not take turns.
  local fields, tried, waits = redis.call('HGETALL', KEYS[1]), {}, {}
  for index = 1, #fields, 2 do
    local kind, worker = string.match(fields[index], '^(%a+):(.*)$')
    if kind == 'tried' then
      tried[worker] = tonumber(fields[index + 1]) or 0
    elseif kind == 'waits' and (tonumber(fields[index + 1]) or 0) > now then
      waits[#waits + 1] = worker
    end
  end
  for _, worker in ipairs(waits) do
    rests = rests or (tried[worker] or 0) < (tried[ARGV[1]] or 0)
  end
end
local ours = 0
if ARGV[5] == '1' and (known[6] == ARGV[1] or (free and not rests)) then
  -- Only here the note lives on: one that nobody probes ends by itself.
  redis.call('HSET', KEYS[1], 'prober', ARGV[1], 'probes_until', string.format('%.0f', now + ARGV[6]))
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  redis.call('HDEL', KEYS[1], 'waits:' .. ARGV[1])
  ours = 1
elseif ARGV[5] == '1' and not rests then
  local heard_until = string.format('%.0f', now + ARGV[8])
  redis.call('HSET', KEYS[1], 'waits_until', heard_until, 'waits:' .. ARGV[1], heard_until)
end
return {known[1] or '', known[2] or '', known[3] or '', tonumber(known[4] or '') or now, tonumber(known[5] or '') or 0, ours}
