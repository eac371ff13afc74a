-- This is the start of every script, after maxAmendments, which is how many of those
-- the journal keeps at least. Times are microseconds since 1970, by the
-- clock of Redis. The scripts of the queue have these KEYS:
--
--   1 waiting  sorted set: ids of waiting and due records, by due time;
--              its name is also the channel of the wake-up messages
--   2 leased   sorted set: ids of leased records, by the end of the lease
--   3 headers  hash: id -> "due attempt token kind", token empty unless leased
--   4 bodies   hash: id -> body
--
-- A Redis that is out of memory refuses the first write of a script if that may
-- take memory. So the scripts that end or change a lease begin with a ZREM, and
-- a full queue can be drained; put begins with a SET, and changes nothing then.

-- The functions below get the time from their callers: tests replace this clock.
local function time()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- later returns the time that long after now, at most the last that a score
-- represents exactly.
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

-- leased returns due time, attempt and kind of a record if the token is that of
-- its lease, which may have expired; else nothing.
local function leased(id, token)
  local found = redis.call('HGET', KEYS[3], id)
  if not found then return end
  local due, attempt, owner, kind = parse(found)
  if owner == '' or owner ~= token then return end
  return due, attempt, kind
end

local function saveBody(id, body)
  if redis.call('HGET', KEYS[4], id) ~= body then
    redis.call('HSET', KEYS[4], id, body)
  end
end

-- first returns the due time of the first waiting record.
local function first()
  return tonumber(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]) or math.huge
end

-- wake publishes a wake-up message if a record is due sooner than the first one
-- was before. Users without the right to publish or subscribe have to poll.
local function wake(before)
  if first() < before then redis.pcall('PUBLISH', KEYS[1], '') end
end

-- note adds an entry to the journal. If it is there, its body is replaced where
-- replace is "1", and it is added anew where replace is "renew". The stream amendments
-- gets the id of an entry whose body is replaced. note removes more expired entries than
-- it adds, so that they do not pile up.
local function note(now, journal, entries, id, body, replace, ttl, amendments)
  local oldest = now - ttl
  local at = redis.call('ZSCORE', journal, id)
  if at and tonumber(at) > oldest and replace ~= 'renew' then
    if replace == '1' then
      redis.call('HSET', entries, id, body)
      redis.call('XADD', amendments, 'MAXLEN', '~', maxAmendments, '*', 'id', id)
    end
    return
  end

  local old = redis.call('ZRANGEBYSCORE', journal, '-inf', oldest, 'LIMIT', 0, 16)
  if #old > 0 then
    redis.call('ZREM', journal, unpack(old))
    redis.call('HDEL', entries, unpack(old))
  end

  -- No two entries have the same time, so that times can be cursors.
  local last = tonumber(redis.call('ZREVRANGE', journal, 0, 0, 'WITHSCORES')[2])
  if last and last >= now then now = last + 1 end
  redis.call('ZADD', journal, now, id)
  redis.call('HSET', entries, id, body)
end

-- enqueue adds those of n records whose ids are not remembered, with their notes,
-- and returns 1 for each that it added, else 0. KEYS 5 to 7 are the journal, and
-- those from key on remember the ids. ARGV 1 and 2 are the times to live of ids (ms)
-- and of entries; those from arg on are id, kind, delay and body of each record,
-- and id and body of its note; no id: it has none.
local function enqueue(now, n, key, arg)
  local added, before = {}, first()
  for i = 1, n do
    local id, kind, after, body = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
    added[i] = 0
    if redis.call('SET', KEYS[key], '', 'NX', 'PX', ARGV[1]) then
      local due = later(now, after)
      added[i] = redis.call('HSETNX', KEYS[3], id, header(due, 0, '', kind))
      if added[i] == 1 then
        redis.call('HSET', KEYS[4], id, body)
        redis.call('ZADD', KEYS[1], due, id)
        if ARGV[arg + 4] ~= '' then
          note(now, KEYS[5], KEYS[6], ARGV[arg + 4], ARGV[arg + 5], '', ARGV[2])
        end
      else
        redis.call('DEL', KEYS[key]) -- it is in the queue for longer than its id is remembered
      end
    end
    key, arg = key + 1, arg + 6
  end
  wake(before)
  return added
end

-- changes returns where the changes of a call are: KEYS from key on are those that
-- remember the ids of the next records, those of the values, and those of the values
-- that it expects; ARGV from arg on are how many next records, entries, values and
-- expected values there are, and these: records as for enqueue, entries to replace or
-- add as id and body, values as value and time to live (ms), expected ones as 1 and
-- value, or 0 and anything where there must be none.
local function changes(key, arg)
  local c = {next = tonumber(ARGV[arg]), values = tonumber(ARGV[arg + 2]), expected = tonumber(ARGV[arg + 3])}
  c.nextKey, c.nextArg = key, arg + 4
  c.entryArg = c.nextArg + 6 * c.next
  c.valueKey, c.valueArg = key + c.next, c.entryArg + 2 * tonumber(ARGV[arg + 1])
  c.expectKey, c.expectArg = c.valueKey + c.values, c.valueArg + 2 * c.values
  c.keyAfter, c.argAfter = c.expectKey + c.expected, c.expectArg + 2 * c.expected
  return c
end

-- asExpected reports whether all values are as the changes expect them.
local function asExpected(c)
  for i = 0, c.expected - 1 do
    local want = ARGV[c.expectArg + 2 * i] == '1' and ARGV[c.expectArg + 2 * i + 1]
    if redis.call('GET', KEYS[c.expectKey + i]) ~= want then return false end -- false: there is none
  end
  return true
end

-- make makes the changes. KEYS 5 to 7 and ARGV 1 and 2 are as for enqueue.
local function make(now, c)
  if c.next > 0 then enqueue(now, c.next, c.nextKey, c.nextArg) end
  for i = c.entryArg, c.valueArg - 1, 2 do
    note(now, KEYS[5], KEYS[6], ARGV[i], ARGV[i + 1], '1', ARGV[2], KEYS[7])
  end
  for i = 0, c.values - 1 do
    redis.call('SET', KEYS[c.valueKey + i], ARGV[c.valueArg + 2 * i], 'PX', ARGV[c.valueArg + 2 * i + 1])
  end
end

