-- KEYS: 1 the time when the bucket is full, 2 the end of its hold. ARGV: 1 the
-- interval, 2 the capacity. Returns the time until there is a token, or 0 if it
-- took one. The same in Go is in store/rate.go.
local now, interval = time(), tonumber(ARGV[1])
local empty = now + interval * ARGV[2]
local full = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), empty)
local blocked = tonumber(redis.call('GET', KEYS[2]) or 0) - now
local wait = math.max(full + interval - empty, blocked)
if wait > 0 then return wait end
full = full + interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
