-- KEYS: 5 to 7 the journal, as in note.lua, then those of the changes of each Done.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, then
-- for each Done: id, token and its changes, see lib.lua.
-- Returns 0 for each Done whose lease is lost, 2 where a value is not as expected,
-- else 1.
local now, reply = time(), {}
local key, arg = 8, 3
while arg <= #ARGV do
  local id, c = ARGV[arg], changes(key, arg + 2)
  local result = 0
  if leased(id, ARGV[arg + 1]) then
    result = asExpected(c) and 1 or 2
  end
  if result == 1 then
    redis.call('ZREM', KEYS[2], id)
    make(now, c) -- while the id of this record is remembered
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[4], id)
  end
  reply[#reply + 1] = result
  key, arg = c.keyAfter, c.argAfter
end
return reply
