-- KEYS: 5 the stream of dead records. ARGV: 1 id, 2 token, 3 reason.
-- Returns 0 if the lease is lost.
local id = ARGV[1]
local due, _, kind = leased(id, ARGV[2])
if not due then return 0 end
local body = redis.call('HGET', KEYS[4], id)
redis.call('ZREM', KEYS[2], id)
redis.call('HDEL', KEYS[3], id)
redis.call('HDEL', KEYS[4], id)
redis.call('XADD', KEYS[5], '*', 'id', id, 'kind', kind, 'body', body, 'reason', ARGV[3], 'at', time())
return 1
