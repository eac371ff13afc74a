-- KEYS: 1 when the bucket is full, 2 when its hold ends. ARGV: 1 interval, 2 burst.
-- Returns the wait, 0 when one was taken. gcra.go has the same in Go.
local now, interval = time(), tonumber(ARGV[1])
local empty = now + interval * ARGV[2]
local full = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), empty)
local held = tonumber(redis.call('GET', KEYS[2]) or 0) - now
local wait = math.max(full + interval - empty, held)
if wait > 0 then return wait end
full = full + interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
