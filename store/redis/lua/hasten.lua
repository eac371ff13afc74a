-- ARGV: 1 id. Returns 1, 0 if the queue has no such record, or -1 if its lease has not
-- expired.
local id, now = ARGV[1], time()
local found = redis.call('HGET', KEYS[3], id)
if not found then return 0 end
local due, attempt, owner, kind = parse(found)
if owner ~= '' then -- its lease may have expired: then it is due
  return tonumber(redis.call('ZSCORE', KEYS[2], id) or 0) > now and -1 or 1
end
if due > now then
  local before = first()
  redis.call('HSET', KEYS[3], id, header(now, attempt, '', kind))
  redis.call('ZADD', KEYS[1], now, id)
  wake(before)
end
return 1
