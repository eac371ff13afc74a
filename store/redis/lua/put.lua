-- KEYS: 5 and 6 the journal, as 1 and 2 in note.lua, then the keys that remember
-- the ids of the records.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, then
-- the records of one Put or more. Returns 1 for each record that was added, else 0.
return enqueue(time(), #KEYS - 6, 7, 3)
