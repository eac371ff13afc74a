-- KEYS as in tally.lua. ARGV: 1 a time: only members after it are returned, 2 n,
-- at most some thousands, 3 within.
-- Returns id, time, group and note of each.
local after = math.max(tonumber(ARGV[1]), time() - ARGV[3])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', after), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local reply = {}
for i = 1, #found, 2 do
  local length, rest = string.match(redis.call('HGET', KEYS[2], found[i]), '^(%d+) (.*)$')
  for _, v in ipairs({found[i], tonumber(found[i + 1]), string.sub(rest, 1, length), string.sub(rest, length + 1)}) do
    reply[#reply + 1] = v
  end
end
return reply
