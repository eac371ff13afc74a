-- ARGV: 1 n, at most some thousands, 2 visibility, 3 token.
-- Returns the end of the leases, then id, kind, body, attempt and due time of each.
local now = time()
local n, expires, token = tonumber(ARGV[1]), later(now, ARGV[2]), ARGV[3]
local waiting = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, n)
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES', 'LIMIT', 0, n)

local ids, w, e = {}, 1, 1
while #ids < n and (waiting[w] or expired[e]) do
  if not expired[e] or waiting[w] and tonumber(waiting[w + 1]) <= tonumber(expired[e + 1]) then
    ids[#ids + 1] = waiting[w]
    w = w + 2
  else
    ids[#ids + 1] = expired[e]
    e = e + 2
  end
end
local reply = {expires}
if #ids == 0 then return reply end

redis.call('ZREM', KEYS[1], unpack(ids))
local headers = redis.call('HMGET', KEYS[3], unpack(ids))
local bodies = redis.call('HMGET', KEYS[4], unpack(ids))
local ends, changed = {}, {}
for i, id in ipairs(ids) do
  local due, attempt, _, kind = parse(headers[i])
  attempt = attempt + 1
  ends[2 * i - 1], ends[2 * i] = expires, id
  changed[2 * i - 1], changed[2 * i] = id, header(due, attempt, token, kind)
  for _, v in ipairs({id, kind, bodies[i], attempt, due}) do
    reply[#reply + 1] = v
  end
end
redis.call('ZADD', KEYS[2], unpack(ends))
redis.call('HSET', KEYS[3], unpack(changed))
return reply
