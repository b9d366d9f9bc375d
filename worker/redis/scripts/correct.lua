-- Put what a call took in the place of what it was charged for.
-- KEYS    budget
-- ARGV    id of the call, tokens ('': not known), money in billionths ('': not known), its currency
-- returns 1 | 0 (it is not charged, or all that is known of it stands here already)
-- repeat  finds it corrected and changes nothing
local name = 'call:' .. ARGV[1]
local found = redis.call('HMGET', KEYS[1], name, 'currency')
local tokens, money, other = string.match(found[1] or '', '^(%d*):(%d*)(:?%a*)$')
if not tokens then
  return 0
end
local currency = other == '' and (found[2] or ARGV[4]) or string.sub(other, 2)
if ARGV[2] ~= '' and tokens ~= '' then
  redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[2] - tokens)
  tokens = ''
end
if ARGV[3] ~= '' and money ~= '' and currency == ARGV[4] then -- of another one nobody knows what it took
  redis.call('HINCRBY', KEYS[1], 'money' .. other, ARGV[3] - money)
  money = ''
end
if tokens == '' and (money == '' or money == '0') then -- where nobody knows the price none was charged
  redis.call('HDEL', KEYS[1], name)
else
  redis.call('HSET', KEYS[1], name, tokens .. ':' .. money .. other)
end
return 1
