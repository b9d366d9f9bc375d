-- Say that somebody watches a thread, and read what is new there.
-- KEYS    watched, live, hold, then the turn that had the thread at the last look, if any
-- ARGV    ms that this counts, id of the last entry that was read ('': none)
-- returns {{entry, …} each {id, {name, value, …}}, ms since the newest entry of all (-1: there is none),
--          id of the task that has the thread ('': nobody), state of that turn ('': nothing is known of it), its attempt,
--          what it has to put right ('': nothing), key of its process' definition, id of its instance ('': not known)}
-- repeat  the same
if redis.call('PTTL', KEYS[1]) < ARGV[1] / 2 then -- who looks often writes seldom
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
local newest, silent = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1), -1
local entries = {}
if newest[1] then
  local time = redis.call('TIME')
  silent = math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(string.match(newest[1][1], '^%d+')))
  if newest[1][1] ~= ARGV[2] then
    -- An id that is not there any more is behind us all the same.
    entries = redis.call('XRANGE', KEYS[2], ARGV[2] == '' and '-' or '(' .. ARGV[2], '+')
  end
end
local holder = redis.call('HGET', KEYS[3], 'task') or ''
local turn = KEYS[4] and redis.call('HMGET', KEYS[4], 'state', 'attempt', 'repair', 'process', 'instance') or {}
return {entries, silent, holder, turn[1] or '', turn[2] or '1', turn[3] or '', turn[4] or '', turn[5] or ''}
