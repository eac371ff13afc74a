-- KEYS: 1 the owner of the claim. ARGV: 1 owner, 2 time to live (ms).
-- Returns 1 if the owner has the claim now, else 0.
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
