-- KEYS as in note.lua. ARGV: 1 the time that entries must be before, or
-- "+inf", 2 n, at most some thousands, 3 the time to live of entries.
-- Returns id, time and body of each.
local found = redis.call('ZREVRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '(' .. string.format('%.0f', time() - ARGV[3]),
  'WITHSCORES', 'LIMIT', 0, ARGV[2])
local reply = {}
for i = 1, #found, 2 do
  for _, v in ipairs({found[i], tonumber(found[i + 1]), redis.call('HGET', KEYS[2], found[i])}) do
    reply[#reply + 1] = v
  end
end
return reply
