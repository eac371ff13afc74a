-- KEYS: 1 the end of the hold. Returns the time until then, 0 if there is none.
return math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - time(), 0)
