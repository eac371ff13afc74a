-- ARGV: 1 and 2 the time and the id that the records follow, "" for all, 3 n, at most
-- some thousands, 4 the size of bodies, in bytes, from which on no more are returned.
-- Returns 1 if more follow, else 0, then id, kind, body, attempt, due time and end of
-- the lease, 0 if it is not leased, of each.

-- The order of Redis is that of bytes; that of Lua is the locale's.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function before(time, id, otherTime, otherID)
  return time < otherTime or time == otherTime and less(id, otherID)
end

-- start returns the rank of the first member that is listed.
local function start(key)
  if ARGV[1] == '' then return 0 end
  local low, high = 0, redis.call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', key, middle, middle, 'WITHSCORES')
    if before(tonumber(ARGV[1]), ARGV[2], tonumber(member[2]), member[1]) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local n, size = tonumber(ARGV[3]), 0
local lists, place = {}, {1, 1}
for k = 1, 2 do
  local from = start(KEYS[k])
  lists[k] = redis.call('ZRANGE', KEYS[k], from, from + n, 'WITHSCORES') -- one more, which shows whether there are more
end

-- first returns which list has the next record, nil if none has.
local function nextList()
  local ids, times = {}, {}
  for k = 1, 2 do
    ids[k], times[k] = lists[k][place[k]], tonumber(lists[k][place[k] + 1])
  end
  if ids[1] and ids[2] then return before(times[1], ids[1], times[2], ids[2]) and 1 or 2 end
  return ids[1] and 1 or ids[2] and 2
end

local reply = {0}
for i = 0, n do
  local k = nextList()
  if not k then break end
  if i == n or size >= tonumber(ARGV[4]) then
    reply[1] = 1
    break
  end
  local id, time = lists[k][place[k]], tonumber(lists[k][place[k] + 1])
  place[k] = place[k] + 2
  local due, attempt, _, kind = parse(redis.call('HGET', KEYS[3], id))
  local body = redis.call('HGET', KEYS[4], id)
  size = size + #body
  for _, v in ipairs({id, kind, body, attempt, due, k == 2 and time or 0}) do
    reply[#reply + 1] = v
  end
end
return reply
