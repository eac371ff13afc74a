-- Returns the time until the next record is due, or -1 if there is none.
local due
for k = 1, 2 do
  local first = tonumber(redis.call('ZRANGE', KEYS[k], 0, 0, 'WITHSCORES')[2])
  if first and (not due or first < due) then due = first end
end
if not due then return -1 end
return math.max(due - time(), 0)
