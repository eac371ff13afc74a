-- KEYS: 5 the stream of dead records, 6 to 8 the journal, as in note.lua.
-- ARGV: 1 id, 2 the entry of the stream to remove if the queue does not have the id,
-- "" for none, 3 the time to live of journal entries, then id and body of each journal
-- entry to replace or add.
-- Returns 1, 0 if there is no such record, or -1 if its lease has not expired.
local id, now = ARGV[1], time()
if redis.call('HEXISTS', KEYS[3], id) == 1 then
  if tonumber(redis.call('ZSCORE', KEYS[2], id) or 0) > now then return -1 end
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
elseif ARGV[2] == '' or redis.call('XDEL', KEYS[5], ARGV[2]) == 0 then
  return 0
end
for i = 4, #ARGV, 2 do
  note(now, KEYS[6], KEYS[7], ARGV[i], ARGV[i + 1], '1', ARGV[3], KEYS[8])
end
return 1
