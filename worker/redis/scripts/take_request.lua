-- Take one request of somebody's, if there is one. A meter shows until when what was taken is paid for at the allowed pace,
-- and may be ahead by a burst.
-- KEYS    meter
-- ARGV    ms for a request, requests at once
-- returns ms to wait for the next one, 0 if one was taken
-- repeat  takes another one: whose reply was lost has one less
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local each, burst = tonumber(ARGV[1]), ARGV[1] * ARGV[2]
-- What is further ahead, by a clock that jumped back or an odd value, counts as all taken just now.
local paid = math.max(now, math.min(now + burst, tonumber(redis.call('GET', KEYS[1]) or '') or 0))
local wait = math.max(0, math.ceil(paid + each - now - burst - 0.001))
if wait == 0 then
  paid = paid + each
end
redis.call('SET', KEYS[1], string.format('%.3f', paid), 'PX', math.ceil(paid - now) + 1000)
return wait
