-- KEYS: 1 the version of the format. ARGV: 1 the version to set if there is none.
-- Returns the version that is set.
local format = redis.call('GET', KEYS[1])
if format then return format end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
