-- Know a new anchor, unless there is one that its maker has not tried to read.
-- KEYS    anchors
-- ARGV    id, when it was made, then ids that its maker cannot read
-- returns its id | the id of the other one (nothing is written)
-- repeat  finds itself and says so
-- '-' is no conversation: it stands for threads from before there were anchors.
local tried = {[ARGV[1]] = true, ['-'] = true}
for index = 3, #ARGV do
  tried[ARGV[index]] = true
end
for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not tried[id] then
    return id
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[1]
