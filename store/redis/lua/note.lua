-- KEYS: 1 journal, a sorted set of ids by time, 2 entries, a hash of bodies.
-- ARGV: 1 id, 2 body, 3 "1" to replace the body of an entry that is there,
-- 4 the time to live of entries.
local id, now = ARGV[1], time()
local oldest = now - ARGV[4]
local at = redis.call('ZSCORE', KEYS[1], id)
if at and tonumber(at) > oldest then
  if ARGV[3] == '1' then redis.call('HSET', KEYS[2], id, ARGV[2]) end
  return 1
end

-- It removes more expired entries than it adds, so that they do not pile up.
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', oldest, 'LIMIT', 0, 16)
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[2], unpack(old))
end

-- No two entries have the same time, so that times can be cursors.
local last = tonumber(redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
if last and last >= now then now = last + 1 end
redis.call('ZADD', KEYS[1], now, id)
redis.call('HSET', KEYS[2], id, ARGV[2])
return 1
