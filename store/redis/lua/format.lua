-- KEYS: 1 the format of all that is kept. ARGV: 1 the one to set if there is
-- none. Returns the one that is set.
local format = redis.call('GET', KEYS[1])
if format then return format end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
