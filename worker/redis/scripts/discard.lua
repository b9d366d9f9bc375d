-- Drop an answer that nobody can read. What the transcript is to have of the turn stays, as does what others added.
-- KEYS    turn
-- ARGV    none
-- returns 1
-- repeat  the same
local attempt = redis.call('HGET', KEYS[1], 'attempt') or ''
if not string.match(attempt, '^%d+$') then
  attempt = '1'
end
redis.call('HDEL', KEYS[1], 'answer', 'deadline', 'limit', 'response', 'trouble_since', 'open', 'deaths')
-- As after a call that nobody saw ending: whoever enters looks on the thread first, where the answer may be.
redis.call('HSET', KEYS[1], 'state', 'intent', 'attempt', attempt)
return 1
