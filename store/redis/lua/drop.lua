-- KEYS: 5 to 7 the journal, as in note.lua, 8 the stream of dead records, then those of
-- the changes.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, 3 id, 4 the
-- entry of the stream to remove if the queue does not have the id, "" for none, then the
-- changes, see lib.lua.
-- Returns 1, 0 if there is no such record, -1 if its lease has not expired, or 2 if a
-- value is not as expected.
local id, entry, now, c = ARGV[3], ARGV[4], time(), changes(9, 5)
local queued = redis.call('HEXISTS', KEYS[3], id) == 1
if queued then
  if tonumber(redis.call('ZSCORE', KEYS[2], id) or 0) > now then return -1 end
elseif entry == '' or #redis.call('XRANGE', KEYS[8], entry, entry) == 0 then
  return 0
end
if not asExpected(c) then return 2 end
if queued then
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
else
  redis.call('XDEL', KEYS[8], entry)
end
make(now, c)
return 1
