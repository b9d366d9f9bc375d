-- Read journal, hold and map, and take the hold unless the task is answered, another task holds the thread, or an earlier
-- delivery of this task does and may be asking. What a person asks stands back while there is a task that was refused: so no
-- task waits for more than one of those.
-- KEYS    turn, hold, thread, history, tasks that were refused, by when that is forgotten
-- ARGV    task id, token, lease ms, thread ttl ms, retries that the engine has left for the task ('': it has not failed),
--         ms that a refused task is remembered ('': it is no task, but what a person asks),
--         when the engine made the task, when the instance whose thread it is (each '': not compared)
-- returns {'newer'} (a newer worker wrote it: nothing was changed) |
--         {'another'} (the journal has another task of this id, or the map a thread of another instance: nothing was changed) |
--         {'answered', attempt, answer, what this attempt had to put right ('': nothing), calls,
--          token of the hold under which the last call was made ('': not known), memory, order to rewind and persons heard as below} |
--         {'busy'} |
--         {'entered', attempt, thread id, generation, published, ms the earlier call may still run (-1: none),
--          ms of trouble, deaths: how many workers in a row took this task and were not heard of again,
--          id of the earlier call's response ('': not known), what to put right as above,
--          anchor of the account that the thread is in ('': not known), its provider ('': written before there were others),
--          calls that may have been paid, how many of their answers were dropped: both since a person set the retries,
--          token as above, tokens that the thread's last turn read and wrote ('': not known),
--          ms that a call of any task may still run on the thread, why it is to be left ('': it is not),
--          answers that it has had, what it knew when it was made, if that was for this task or nothing has been answered
--          on it yet ('': all, or that is over), what is not told any more of what was said under this key ('': nothing),
--          the words of the order to rewind that the thread was made for ('': it was not),
--          generation of the memory's subject by which the earlier call's question was put ('': not known),
--          then persons who were heard on it, each with how many messages}
-- repeat  the same token takes the same hold again
for index = 1, 3, 2 do -- a hold is the same in all versions: it keeps them out of each other's way
  local schema = redis.call('HGET', KEYS[index], 'schema')
  if schema and schema ~= '1' then
    return {'newer'}
  end
end
if ARGV[7] ~= '' and (redis.call('HGET', KEYS[1], 'made') or ARGV[7]) ~= ARGV[7] then
  return {'another'}
end
if ARGV[8] ~= '' and (redis.call('HGET', KEYS[3], 'began') or ARGV[8]) ~= ARGV[8] then
  return {'another'}
end
local turn = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'answer', 'deadline', 'limit', 'trouble_since', 'open', 'deaths', 'response', 'repair', 'retries', 'calls', 'dropped', 'counted', 'memory')
local attempt = turn[2] or '1'
local retries, known = tonumber(ARGV[5]), tonumber(turn[11] or '')
local calls, dropped = tonumber(turn[12] or '') or 0, tonumber(turn[13] or '') or 0
local anew = retries and known and retries > known -- the engine has what it was told: only a person makes it more
if anew then
  -- The clock of trouble, too, or the first trouble after a Retry would be an incident again.
  calls, dropped, turn[6] = 0, 0, false
end
local function with_heard(reply)
  if redis.call('HEXISTS', KEYS[3], 'heard') == 1 then
    local fields = redis.call('HGETALL', KEYS[3])
    for index = 1, #fields, 2 do
      if string.sub(fields[index], 1, 6) == 'heard:' then
        reply[#reply + 1] = string.sub(fields[index], 7)
        reply[#reply + 1] = fields[index + 1]
      end
    end
  end
  return reply
end
local thread = redis.call('HMGET', KEYS[3], 'id', 'generation', 'published', 'anchor', 'provider', 'tokens', 'running', 'answers')
local memory, made_for = string.match(thread[1] and redis.call('HGET', KEYS[3], 'memory:' .. thread[1]) or '', '^(%a+):(.*)$')
local rewound = thread[1] and redis.call('HGET', KEYS[3], 'rewound:' .. thread[1]) or ''
if made_for ~= ARGV[1] and thread[6] then -- the tokens of an answer; where nothing is known nothing was told
  memory = nil
end
-- Before the hold is looked at: an answer is delivered whoever has the thread now.
if turn[1] == 'answered' or turn[1] == 'done' then
  return with_heard({'answered', attempt, turn[3], turn[10] or '', calls, turn[14] or '', memory or '', rewound})
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[6] == '' and redis.call('ZCOUNT', KEYS[5], string.format('(%.0f', now), '+inf') > 0 then
  return {'busy'}
end
-- A task takes over its own hold: its earlier worker has lost it, and `intend` tells it so. Not where a call may run: that
-- worker may live, and bring the answer. A dead one's lease ends by itself.
local holder, token = unpack(redis.call('HMGET', KEYS[2], 'task', 'token'))
local is_asking = token ~= ARGV[2] and turn[1] == 'intent'
if holder and (holder ~= ARGV[1] or is_asking) then
  if ARGV[6] ~= '' and holder ~= ARGV[1] then
    redis.call('ZADD', KEYS[5], string.format('%.0f', now + ARGV[6]), ARGV[1])
    redis.call('PEXPIRE', KEYS[5], ARGV[6])
  end
  return {'busy'}
end
-- The first thing that is written is one that a full server refuses: behind any other write it would let all of them pass.
redis.call('HSET', KEYS[2], 'task', ARGV[1], 'token', ARGV[2], 'since', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('ZREM', KEYS[5], ARGV[1])
-- What is in use does not age, and a history must not be gone before the map that counts its turns.
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
-- An entrance that is still open was never left: its worker was not heard of again.
local deaths = tonumber(turn[8] or '') or 0
if turn[7] and turn[7] ~= ARGV[2] then
  deaths = deaths + 1
end
redis.call('HSET', KEYS[1], 'open', ARGV[2], 'deaths', deaths)
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[1], 'made', ARGV[7])
end
if retries then
  redis.call('HSET', KEYS[1], 'retries', retries)
end
if anew then
  redis.call('HDEL', KEYS[1], 'calls', 'dropped', 'trouble_since')
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local running, response = -1, ''
if turn[1] == 'intent' then -- never longer than the call's own limit, wherever the clock was set to meanwhile
  running = math.max(0, math.min((tonumber(turn[4] or '') or now) - now, tonumber(turn[5] or '') or 0))
  response = turn[9] or ''
end
local trouble = now - (tonumber(turn[6] or '') or now)
local ends_at, limit = string.match(thread[7] or '', ':(%d+):(%d+)$')
local busy = ends_at and math.max(0, math.min(tonumber(ends_at) - now, tonumber(limit))) or 0
-- Of the two orders the one to rewind, which older workers do not carry out and cannot take for the other.
local renew = thread[1] and (redis.call('HGET', KEYS[3], 'rewind:' .. thread[1]) or redis.call('HGET', KEYS[3], 'renew:' .. thread[1])) or ''
return with_heard({'entered', attempt, thread[1] or '', thread[2] or '0', thread[3] or '', running, trouble, deaths, response, turn[10] or '', thread[4] or '', thread[5] or '', calls, dropped, turn[14] or '', thread[6] or '', busy, renew, thread[8] or '0', memory or '', redis.call('HGET', KEYS[3], 'cuts') or '', rewound, turn[15] or ''})
