-- Take a seat for a call at a provider now, or have one kept for later.
-- A meter shows until when what has been started is paid for at the allowed pace. What starts may be ahead of it by BURST,
-- what is planned by PLANNED alone: so whoever is late, or dearer than was thought, finds some room left. A kept seat is
-- kept from others until GRACE after its time. Seats are kept for HORIZON, in equal parts for the process instances that
-- wait; who has none gets one behind it.
-- KEYS    meters, tasks by when their seat is kept, what is kept for each, how many are kept for each instance,
--         instances that wait by when they are to be heard of again, tokens of taken seats by the end of their lease,
--         what each was taken for
-- ARGV    task, process instance, token, tokens of text, calls at once ('0': any number), ms for a request ('0': nothing),
--         ms for a token of text, lease ms, a random number from 0 to 1
-- returns {1, 0} taken | {0, ms} one is kept, to be taken then, or none is, to be tried again then
-- repeat  the same token has the same seat, and what is kept is kept for the same time
local BURST, PLANNED, GRACE, HORIZON, FORGOTTEN = 6000, 3000, 2000, 30000, 60000
-- A call takes SHORTEST at least, and UNKNOWN while none has ended yet; LIFE is how long all of this is kept without a
-- call.
local FURTHEST, CLOSED = 600000, 60000 -- meters are never further ahead: a clock that jumps back, or an odd count, heals
local SHORTEST, UNKNOWN, LIFE = 1000, 5000, 7200000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tokens, seats = tonumber(ARGV[4]), tonumber(ARGV[5])
local request_ms, token_ms = tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('HEXISTS', KEYS[7], ARGV[3]) == 1 then
  return {1, 0}
end

local function let_go(task)
  local size, instance = string.match(redis.call('HGET', KEYS[3], task) or '', '^(%d+) (.*)$')
  if size then
    redis.call('HINCRBY', KEYS[1], 'kept_tokens', -size)
    if redis.call('HINCRBY', KEYS[4], instance, -1) <= 0 then
      redis.call('HDEL', KEYS[4], instance)
    end
  end
  redis.call('HDEL', KEYS[3], task)
  redis.call('ZREM', KEYS[2], task)
end

for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - FORGOTTEN)) do
  let_go(task)
end
for _, token in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now)) do -- its worker is dead
  redis.call('ZREM', KEYS[6], token)
  redis.call('HDEL', KEYS[7], token)
end

local own = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '')
-- Who comes too early keeps the appointment: to come often gains nothing.
if own and own > now then
  return {0, math.ceil(own - now)}
end
if own then
  let_go(ARGV[1])
end
local meters = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'took', 'closed', 'kept_tokens')
local requests = math.max(now, math.min(now + FURTHEST, tonumber(meters[1] or '') or 0))
local texts = math.max(now, math.min(now + FURTHEST, tonumber(meters[2] or '') or 0))
local took = math.max(SHORTEST, tonumber(meters[3] or '') or UNKNOWN)
local closed = math.min(now + CLOSED, tonumber(meters[4] or '') or 0)
local paid = math.max(requests, texts)
local taken = redis.call('ZRANGE', KEYS[6], 0, -1)
local goes = own and closed <= now and paid - BURST <= now and (seats == 0 or #taken < seats)
local at, each = now, 0

if not goes then
  local others = redis.call('ZCOUNT', KEYS[2], now - GRACE, '+inf')
  local text = (tonumber(redis.call('HGET', KEYS[1], 'kept_tokens') or '') or 0) + tokens
  -- How far seats are apart: by the slower of the two meters, with texts as long as those that wait are on average.
  each = math.max(request_ms, token_ms * text / (redis.call('ZCARD', KEYS[2]) + 1))
  local first = math.max(paid - PLANNED, closed)
  local low, high = 0, others -- the first seat before which no more are kept than there are
  while each > 0 and low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZCOUNT', KEYS[2], now - GRACE, math.ceil(first + middle * each) + 1) <= middle then
      high = middle
    else
      low = middle + 1
    end
  end
  at = math.max(now, first + low * each)
  if seats > 0 then
    local ends = {}
    for index, token in ipairs(taken) do
      local began = tonumber(string.match(redis.call('HGET', KEYS[7], token) or '', '^%d+') or '') or now
      -- Nobody knows when a call ends: somewhat later than most did, and one that is late already in half their time.
      ends[index] = math.max(began + 1.2 * took, now + took / 2)
    end
    while #ends < seats do
      ends[#ends + 1] = now
    end
    table.sort(ends)
    local before = (own and redis.call('ZCOUNT', KEYS[2], now - GRACE, own) or others) + #ends - seats
    at = math.max(at, ends[before % #ends + 1] + math.floor(before / #ends) * took)
    each = math.max(each, took / seats)
  end
  goes = at <= now
end

local result
if goes then
  redis.call('HSET', KEYS[1], 'requests', string.format('%.3f', requests + request_ms))
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.3f', texts + tokens * token_ms))
  redis.call('ZADD', KEYS[6], now + ARGV[8], ARGV[3])
  redis.call('HSET', KEYS[7], ARGV[3], string.format('%.0f %.0f', now, tokens))
  result = {1, 0}
else
  at = math.ceil(at)
  -- Waiting for half a horizon beyond its time: an instance that is not heard of again must not make the others' parts
  -- smaller for ever.
  local mine = tonumber(redis.call('HGET', KEYS[4], ARGV[2]) or '') or 0
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
  redis.call('ZADD', KEYS[5], math.max(at, now + 1.5 * HORIZON), ARGV[2])
  local fair = mine == 0 and at - now <= 2 * HORIZON
  if mine > 0 then
    fair = at - now <= HORIZON and (mine + 1) * each <= HORIZON / redis.call('ZCARD', KEYS[5])
  end
  if own or fair then
    redis.call('ZADD', KEYS[2], string.format('%.0f', at), ARGV[1])
    redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f ', tokens) .. ARGV[2])
    redis.call('HINCRBY', KEYS[4], ARGV[2], 1)
    redis.call('HINCRBY', KEYS[1], 'kept_tokens', tokens)
    result = {0, at - now}
  else
    -- Spread, or all who got none would come back at once.
    result = {0, math.ceil(math.max(HORIZON, closed - now) * (1 + ARGV[9] / 4))}
  end
end
for index = 1, #KEYS do
  redis.call('PEXPIRE', KEYS[index], LIFE)
end
return result
