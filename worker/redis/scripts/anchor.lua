-- Know an anchor, if it is not known, or is left from now on.
-- KEYS    anchors
-- ARGV    id, when it was made and whether it is left, '1' it is left | '0'
-- returns 1
-- repeat  the same
if ARGV[3] == '1' or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return 1
