-- KEYS as in note.lua. ARGV: 1 the time to live of entries, then ids, at most some thousands.
-- Returns id, time and body of each entry that there is.
local oldest, reply = time() - ARGV[1], {}
for i = 2, #ARGV do
  local at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]))
  if at and at > oldest then
    for _, v in ipairs({ARGV[i], at, redis.call('HGET', KEYS[2], ARGV[i])}) do
      reply[#reply + 1] = v
    end
  end
end
return reply
