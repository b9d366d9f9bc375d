-- Order a stop, or lift it. Whoever is limited to tenants changes no stop of somebody who is not.
-- KEYS    stops
-- ARGV    field, stop as JSON ('' to lift it), 1 if whoever asks is limited
-- returns 1 | 0 (there was none to lift) | -1 (it is a stop of somebody without limits)
-- repeat  the same, but 0 once it is lifted
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there and ARGV[3] == '1' then
  -- What cannot be read, or was noted before there was `limited`, counts as of somebody without limits.
  local can_be_read, stop = pcall(cjson.decode, there)
  if not can_be_read or type(stop) ~= 'table' or stop.limited ~= true then
    return -1
  end
end
if ARGV[2] == '' then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
