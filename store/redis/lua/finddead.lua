-- KEYS: 1 the stream of dead records. ARGV: 1 id, 2 the entry of the stream before
-- which it is looked for, "+" for the end, 3 in how many entries, at most some thousands.
-- Returns the last of them that has the id, or "", and the entry before which to go on,
-- "" at the start of the stream.
local found = redis.call('XREVRANGE', KEYS[1], ARGV[2], '-', 'COUNT', ARGV[3])
for _, entry in ipairs(found) do
  if entry[2][2] == ARGV[1] then return {entry[1], ''} end -- its first field is the id
end
if #found < tonumber(ARGV[3]) then return {'', ''} end
return {'', '(' .. found[#found][1]}
