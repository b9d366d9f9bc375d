-- Put what a call took in the place of what it was charged for.
-- KEYS    budget
-- ARGV    id of the call, tokens ('': not known), money in billionths ('': not known)
-- returns 1 | 0 (it is not charged, or all that is known of it stands here already)
-- repeat  finds it corrected and changes nothing
local name = 'call:' .. ARGV[1]
local charged = redis.call('HGET', KEYS[1], name)
local tokens, money = string.match(charged or '', '^(%d*):(%d*)$')
if not tokens then
  return 0
end
if ARGV[2] ~= '' and tokens ~= '' then
  redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[2] - tokens)
  tokens = ''
end
if ARGV[3] ~= '' and money ~= '' then
  redis.call('HINCRBY', KEYS[1], 'money', ARGV[3] - money)
  money = ''
end
if tokens == '' and money == '' then
  redis.call('HDEL', KEYS[1], name)
else
  redis.call('HSET', KEYS[1], name, tokens .. ':' .. money)
end
return 1
