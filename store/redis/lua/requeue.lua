-- KEYS: 5 to 7 the journal, as in note.lua, 8 the stream of dead records, 9 what
-- remembers the id, then those of the changes.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, 3 id, 4 its
-- entry in the stream, then the changes, see lib.lua.
-- Returns 1, 0 if the entry is gone, -1 if the queue has a record with the id, or 2 if a
-- value is not as expected.
local id, c = ARGV[3], changes(10, 5)
if redis.call('HEXISTS', KEYS[3], id) == 1 then return -1 end
local entry = redis.call('XRANGE', KEYS[8], ARGV[4], ARGV[4])[1]
if not entry then return 0 end
if not asExpected(c) then return 2 end
local record = {}
for i = 1, #entry[2], 2 do
  record[entry[2][i]] = entry[2][i + 1]
end
redis.call('SET', KEYS[9], '', 'PX', ARGV[1])
redis.call('XDEL', KEYS[8], ARGV[4])
local due, before = time(), first()
redis.call('HSET', KEYS[3], id, header(due, 0, '', record.kind))
redis.call('HSET', KEYS[4], id, record.body)
redis.call('ZADD', KEYS[1], due, id)
wake(before)
make(due, c)
return 1
