-- KEYS: 5 to 7 the journal, as in note.lua, then for each Done the keys
-- that remember the ids of its next records, those of its values, and those of the
-- values that it expects.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, then
-- for each Done: id, token, how many next records, entries, values and expected
-- values it has, and these: records as for enqueue, entries to replace or add as id
-- and body, values as value and time to live (ms), expected ones as 1 and value, or 0
-- and anything where there must be none.
-- Returns 0 for each Done whose lease is lost, 2 where a value is not as expected,
-- else 1.
local now, reply = time(), {}
local key, arg = 8, 3
while arg <= #ARGV do
  local id, n, entries, values, expected = ARGV[arg], tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4]), tonumber(ARGV[arg + 5])
  local entry = arg + 6 + 6 * n
  local value = entry + 2 * entries
  local expects = value + 2 * values
  local result = 0
  if leased(id, ARGV[arg + 1]) then
    result = 1
    for i = 1, expected do
      local is = redis.call('GET', KEYS[key + n + values + i - 1]) -- false: there is none
      local want = ARGV[expects + 2 * i - 2] == '1' and ARGV[expects + 2 * i - 1]
      if is ~= want then result = 2 end
    end
  end
  if result == 1 then
    redis.call('ZREM', KEYS[2], id)
    if n > 0 then enqueue(now, n, key, arg + 6) end -- while the id of this record is remembered
    for i = entry, value - 1, 2 do
      note(now, KEYS[5], KEYS[6], ARGV[i], ARGV[i + 1], '1', ARGV[2], KEYS[7])
    end
    for i = 1, values do
      redis.call('SET', KEYS[key + n + i - 1], ARGV[value + 2 * i - 2], 'PX', ARGV[value + 2 * i - 1])
    end
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[4], id)
  end
  reply[#reply + 1] = result
  key, arg = key + n + values + expected, expects + 2 * expected
end
return reply
