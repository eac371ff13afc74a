-- KEYS: 5 to 7 the journal, as in note.lua, then those of the changes.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, then the
-- changes, see lib.lua.
-- Returns 1, -1 if the id of a next record is remembered, or 2 if a value is not as
-- expected.
local c = changes(8, 3)
for i = 0, c.next - 1 do
  if redis.call('EXISTS', KEYS[c.nextKey + i]) == 1 or redis.call('HEXISTS', KEYS[3], ARGV[c.nextArg + 6 * i]) == 1 then return -1 end
end
if not asExpected(c) then return 2 end
make(time(), c)
return 1
