-- Say who holds a thread, since when, how many answers it has had, and what is not told any more of what was said.
-- KEYS    hold, thread
-- ARGV    none
-- returns {task id ('': nobody), ms since the epoch ('': not known), answers, cuts ('': none), generation, the order to
--          rewind it that its next turn carries out ('': none)}
-- repeat  the same
local hold = redis.call('HMGET', KEYS[1], 'task', 'since')
local thread = redis.call('HMGET', KEYS[2], 'answers', 'cuts', 'generation', 'id')
local rewind = thread[4] and redis.call('HGET', KEYS[2], 'rewind:' .. thread[4])
return {hold[1] or '', hold[2] or '', thread[1] or '0', thread[2] or '', thread[3] or '0', rewind or ''}
