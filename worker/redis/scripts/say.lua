-- Tell whoever reads along more of an answer that is being written. What another request was told is void, and goes.
-- KEYS    live
-- ARGV    run, task id, attempt, characters before this text, text, '1' the call is over | '0', ttl ms
-- returns 1
-- repeat  says it twice: readers go by the characters before it
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
-- An entry is its id and a list of names and values: the first value is the run.
if last[1] and last[1][2][2] ~= ARGV[1] then
  redis.call('XTRIM', KEYS[1], 'MAXLEN', 0) -- not DEL: the ids go on from where readers are
end
redis.call('XADD', KEYS[1], '*', 'run', ARGV[1], 'task', ARGV[2], 'attempt', ARGV[3], 'offset', ARGV[4], 'text', ARGV[5], 'over', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return 1
