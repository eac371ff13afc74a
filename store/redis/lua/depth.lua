-- KEYS: 5 the stream of dead records. Returns how many records are due, waiting,
-- leased and dead.
local now = time()
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local expired = redis.call('ZCOUNT', KEYS[2], '-inf', now)
return {
  due + expired,
  redis.call('ZCARD', KEYS[1]) - due,
  redis.call('ZCARD', KEYS[2]) - expired,
  redis.call('XLEN', KEYS[5]),
}
