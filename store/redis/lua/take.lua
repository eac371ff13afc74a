-- KEYS: of each bucket, the time when it is full and the end of its hold. ARGV: of each,
-- the interval and the capacity. Returns from how many it took a token, and the time
-- until the next one has one, 0 if it took from all. The same in Go is in store/rate.go.
local now = time()
for i = 1, #KEYS, 2 do
  local interval = tonumber(ARGV[i])
  local empty = now + interval * ARGV[i + 1]
  local full = math.min(math.max(tonumber(redis.call('GET', KEYS[i]) or 0), now), empty)
  local blocked = tonumber(redis.call('GET', KEYS[i + 1]) or 0) - now
  local wait = math.max(full + interval - empty, blocked)
  if wait > 0 then return {(i - 1) / 2, wait} end
  full = full + interval
  redis.call('SET', KEYS[i], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
end
return {#KEYS / 2, 0}
