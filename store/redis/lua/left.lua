-- KEYS: 1 the time when the bucket is full. ARGV: the interval and the capacity. Returns how
-- many tokens it has. The same in Go is in store/rate.go.
local missing = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - time(), 0)
return math.max(ARGV[2] - math.ceil(missing / ARGV[1]), 0)
