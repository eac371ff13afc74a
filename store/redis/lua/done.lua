-- ARGV: 1 how long ids are remembered (ms), then for each Done: id, token, the
-- number of its next records, and these. Returns 0 for each Done whose lease is
-- lost, else 1.
local now, reply = time(), {}
local key, arg = 5, 2
while arg <= #ARGV do
  local id, n = ARGV[arg], tonumber(ARGV[arg + 2])
  if leased(id, ARGV[arg + 1]) then
    redis.call('ZREM', KEYS[2], id)
    if n > 0 then enqueue(now, ARGV[1], n, key, arg + 3) end -- while the id of this record is remembered
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[4], id)
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
  key, arg = key + n, arg + 3 + 4 * n
end
return reply
