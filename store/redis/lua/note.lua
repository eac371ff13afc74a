-- KEYS: 1 journal, a sorted set of ids by time, 2 entries, a hash of bodies,
-- 3 amendments, a stream of the ids whose bodies were replaced.
-- ARGV: 1 id, 2 body, 3 "1" to replace the body of an entry that is there,
-- 4 the time to live of entries.
note(time(), KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], KEYS[3])
return 1
