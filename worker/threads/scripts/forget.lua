-- Remove what is kept of a thread, under its hold, and let go of that.
-- KEYS    hold, thread, then turns
-- ARGV    token, id of the thread that is over, '1' turns too that the transcript may not have yet | '0'
-- returns {how many are removed, how many are left} | {-1, 0} (the hold is lost: nothing was done)
-- repeat  finds no hold and does nothing
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return {-1, 0}
end
local removed, left = 0, 0
if redis.call('HGET', KEYS[2], 'id') == ARGV[2] then
  removed = redis.call('DEL', KEYS[2])
end
for index = 3, #KEYS do
  if ARGV[3] == '1' or redis.call('HEXISTS', KEYS[index], 'unrecorded') == 0 then
    removed = removed + redis.call('DEL', KEYS[index])
  else
    left = left + 1
  end
end
redis.call('DEL', KEYS[1])
return {removed, left}
