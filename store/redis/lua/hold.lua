-- KEYS: 1 the end of the hold. ARGV: 1 the length of the hold.
local now = time()
local ends = later(now, ARGV[1])
if ends > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', math.ceil((ends - now) / 1000))
end
return 1
