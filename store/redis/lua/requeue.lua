-- KEYS: 5 the stream of dead records, 6 what remembers the id. ARGV: 1 id, 2 its entry
-- in the stream, 3 how long ids are remembered (ms).
-- Returns 1, 0 if the entry is gone, or -1 if the queue has a record with the id.
local id = ARGV[1]
if redis.call('HEXISTS', KEYS[3], id) == 1 then return -1 end
local entry = redis.call('XRANGE', KEYS[5], ARGV[2], ARGV[2])[1]
if not entry then return 0 end
local record = {}
for i = 1, #entry[2], 2 do
  record[entry[2][i]] = entry[2][i + 1]
end
redis.call('SET', KEYS[6], '', 'PX', ARGV[3])
redis.call('XDEL', KEYS[5], ARGV[2])
local due, before = time(), first()
redis.call('HSET', KEYS[3], id, header(due, 0, '', record.kind))
redis.call('HSET', KEYS[4], id, record.body)
redis.call('ZADD', KEYS[1], due, id)
wake(before)
return 1
