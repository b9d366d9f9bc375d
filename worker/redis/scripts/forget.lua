-- Remove what is kept of a thread, under its hold, and let go of that. Where all is to go, note for a while that it was
-- erased: what was asked before comes late, and nobody is to keep it.
-- KEYS    hold, mark of erasing, thread, history, live, turns, then keys of kinds that we do not know, which go whatever they are
-- ARGV    token, id of the thread that is over, '1' turns too that the transcript may not have yet | '0',
--         how many keys we do not know, ms that the mark stays
-- returns how many are removed | -1 (the hold is lost: nothing was done)
-- repeat  finds no hold and does nothing
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return -1
end
if ARGV[3] == '1' then
  redis.call('SET', KEYS[2], '1', 'PX', ARGV[5])
end
local removed, map_goes = 0, true
for index = 3, #KEYS do
  local goes = true
  if index <= #KEYS - tonumber(ARGV[4]) and redis.call('TYPE', KEYS[index])['ok'] == 'hash' then -- anything else under our names is nobody's
    local has = redis.call('HMGET', KEYS[index], 'schema', 'id', 'unrecorded')
    goes = (has[1] or '1') == '1'
    if index == 3 then
      -- The map goes only with the thread that was erased: what else it names is still there.
      goes = goes and has[2] == ARGV[2]
      map_goes = goes
    else
      goes = goes and (ARGV[3] == '1' or not has[3])
    end
  end
  if index == 4 then -- is what the map's thread knows
    goes = map_goes
  end
  if goes then
    removed = removed + redis.call('DEL', KEYS[index])
  end
end
redis.call('DEL', KEYS[1])
return removed
