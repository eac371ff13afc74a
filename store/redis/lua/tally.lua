-- KEYS: 1 members, a sorted set of ids by the time when they were added,
-- 2 details, a hash: id -> "length-of-group group note", 3 groups, a sorted
-- set by the time of the newest member; a group is removed with that.
-- ARGV: 1 id, 2 group, 3 note, 4 within, 5 the capacity.
-- Returns the numbers of members and groups, and the position of the id from 0.
local id, group, now = ARGV[1], ARGV[2], time()

local function forget(upTo)
  while true do
    local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', upTo, 'LIMIT', 0, 1000)
    if #old == 0 then break end
    redis.call('ZREM', KEYS[1], unpack(old))
    redis.call('HDEL', KEYS[2], unpack(old))
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', upTo)
  end
end

forget(string.format('%.0f', now - ARGV[4]))
local members, position = redis.call('ZCARD', KEYS[1]), redis.call('ZRANK', KEYS[1], id)
if not position then
  if members == tonumber(ARGV[5]) then
    forget(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
    members = members - 1
  end
  -- No two members have the same time, so that times order them.
  local last = tonumber(redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
  if last and last >= now then now = last + 1 end
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('HSET', KEYS[2], id, string.format('%d ', #group) .. group .. ARGV[3])
  redis.call('ZADD', KEYS[3], now, group)
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(ARGV[4] / 1000)))
  end
  members, position = members + 1, members
end
return {members, redis.call('ZCARD', KEYS[3]), position}
