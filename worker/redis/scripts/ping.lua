-- Find out whether scripts may write, without writing: only a key that exists already would be set.
-- KEYS    any name that nobody uses
-- ARGV    none
-- returns 1
-- repeat  the same
redis.call('SET', KEYS[1], '', 'XX', 'PX', 1)
return 1
