-- ARGV: 1 id, 2 token, 3 body, 4 delay. Returns 0 if the lease is lost.
local id = ARGV[1]
local due, attempt, kind = leased(id, ARGV[2])
if not due then return 0 end
due = later(time(), ARGV[4])
redis.call('ZREM', KEYS[2], id)
redis.call('HSET', KEYS[3], id, header(due, attempt, '', kind))
saveBody(id, ARGV[3])
local before = first()
redis.call('ZADD', KEYS[1], due, id)
wake(before)
return 1
