-- Say who holds a thread, since when, and how many answers it has had.
-- KEYS    hold, thread
-- ARGV    none
-- returns {task id ('': nobody), ms since the epoch ('': not known), answers}
-- repeat  the same
local hold = redis.call('HMGET', KEYS[1], 'task', 'since')
return {hold[1] or '', hold[2] or '', redis.call('HGET', KEYS[2], 'answers') or '0'}
