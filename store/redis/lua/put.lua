-- KEYS: 5 to 7 the journal, as in note.lua, then the keys that remember
-- the ids of the records.
-- ARGV: 1 how long ids are remembered (ms), 2 the time to live of entries, then
-- the records of one Put or more. Returns 1 for each record that was added, else 0.
return enqueue(time(), #KEYS - 7, 8, 3)
