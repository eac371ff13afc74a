-- KEYS as in note.lua. ARGV: 1 id, 2 the time to live of entries.
-- Returns time and body of the entry; nothing if there is none.
local at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if not at or at <= time() - ARGV[2] then return {} end
return {at, redis.call('HGET', KEYS[2], ARGV[1])}
