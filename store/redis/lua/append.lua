-- KEYS: a log's, as 1 and 2 in note.lua. ARGV: 1 id, 2 body, 3 how many entries to
-- keep, 4 the time to live of entries, and of a log to which nothing is appended.
note(time(), KEYS[1], KEYS[2], ARGV[1], ARGV[2], 'renew', ARGV[4])
local old = redis.call('ZRANGE', KEYS[1], 0, -1 - ARGV[3])
for i = 1, #old, 1000 do
  local some = {unpack(old, i, math.min(i + 999, #old))}
  redis.call('ZREM', KEYS[1], unpack(some))
  redis.call('HDEL', KEYS[2], unpack(some))
end
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(ARGV[4] / 1000)))
end
return 1
