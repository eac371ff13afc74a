-- ARGV: 1 id. Returns kind, body, attempt, due time and end of the lease, 0 if it is
-- not leased, of the record; nothing if the queue does not have it.
local found = redis.call('HGET', KEYS[3], ARGV[1])
if not found then return {} end
local due, attempt, _, kind = parse(found)
local body = redis.call('HGET', KEYS[4], ARGV[1])
return {kind, body, attempt, due, tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)}
