-- Stands before every script. Times are microseconds since 1970, counted by
-- Redis's own clock. The scripts of the queue have as KEYS:
--
--   1 waiting  sorted set: ids of waiting and due records, by due time;
--              its name is also the channel of the wake-up messages
--   2 leased   sorted set: ids of leased records, by the lease's end
--   3 headers  hash: id -> "due attempt token kind", token empty unless leased
--   4 bodies   hash: id -> body
--
-- A Redis that is out of memory refuses a script's first write if that may
-- take memory. So what ends or moves a lease begins with a ZREM, and a full
-- queue can be worked off; Put begins with a SET, and changes nothing then.

-- The functions below take the time from their callers: tests put another
-- clock in place of this one.
local function time()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- later stays within what a score holds exactly.
local function later(now, after)
  return math.min(now + tonumber(after), 9007199254740991)
end

local function header(due, attempt, token, kind)
  return string.format('%.0f %d %s ', due, attempt, token) .. kind
end

local function parse(header)
  local due, attempt, token, kind = string.match(header, '^(%d+) (%d+) (%w*) (.*)$')
  return tonumber(due), tonumber(attempt), token, kind
end

-- held returns what the header says if the token holds the record, also when
-- the lease expired and nobody took the record; else nothing.
local function held(id, token)
  local found = redis.call('HGET', KEYS[3], id)
  if not found then return end
  local due, attempt, holder, kind = parse(found)
  if holder == '' or holder ~= token then return end
  return due, attempt, kind
end

local function saveBody(id, body)
  if redis.call('HGET', KEYS[4], id) ~= body then
    redis.call('HSET', KEYS[4], id, body)
  end
end

-- first returns when the first of the waiting is due.
local function first()
  return tonumber(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]) or math.huge
end

-- wake tells who sleeps until the first of the waiting, as it was, is due that
-- another one is due sooner. Who may not publish or listen has to poll.
local function wake(before)
  if first() < before then redis.pcall('PUBLISH', KEYS[1], '') end
end

-- enqueue adds the n records whose ids are not known, and says of each whether
-- it was. KEYS from key on remember the ids; ARGV from arg on are id, kind,
-- delay and body of each.
local function enqueue(now, ttl, n, key, arg)
  local added, before = {}, first()
  for i = 1, n do
    local id, kind, after, body = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
    added[i] = 0
    if redis.call('SET', KEYS[key], '', 'NX', 'PX', ttl) then
      local due = later(now, after)
      added[i] = redis.call('HSETNX', KEYS[3], id, header(due, 0, '', kind))
      if added[i] == 1 then
        redis.call('HSET', KEYS[4], id, body)
        redis.call('ZADD', KEYS[1], due, id)
      else
        redis.call('DEL', KEYS[key]) -- queued for longer than its id is remembered
      end
    end
    key, arg = key + 1, arg + 4
  end
  wake(before)
  return added
end

