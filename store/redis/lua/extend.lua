-- ARGV: 1 id, 2 token, 3 body, 4 visibility.
-- Returns the new end of the lease, or 0 if the lease is lost.
local id = ARGV[1]
if not leased(id, ARGV[2]) then return 0 end
local expires = later(time(), ARGV[4])
redis.call('ZREM', KEYS[2], id)
redis.call('ZADD', KEYS[2], expires, id)
saveBody(id, ARGV[3])
return expires
