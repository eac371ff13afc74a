-- KEYS as in note.lua. ARGV: 1 a mark, the id of an amendment in the stream, "0-0" before the
-- first one, "" for that of now, 2 n, at most some thousands.
-- Returns the next mark, "" if it is not known what followed the mark, then the ids of the
-- entries that up to n amendments after the mark were of.
local mark, n = ARGV[1], tonumber(ARGV[2])
if mark == '' then
  local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
  return {last and last[1] or '0-0'}
end
local known
if mark == '0-0' then
  known = redis.call('XLEN', KEYS[3]) < maxAmendments -- none was removed yet
else
  known = string.match(mark, '^%d+%-%d+$') and redis.call('XRANGE', KEYS[3], mark, mark)[1]
end
if not known then return {''} end
local reply = {mark}
if n == 0 then return reply end
for i, amendment in ipairs(redis.call('XRANGE', KEYS[3], '(' .. mark, '+', 'COUNT', n)) do
  reply[1], reply[i + 1] = amendment[1], amendment[2][2]
end
return reply
