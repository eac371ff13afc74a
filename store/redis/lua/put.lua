-- ARGV: 1 how long ids are remembered (ms), then the records of one Put or more.
-- Returns 1 for each record that was added, else 0.
return enqueue(time(), ARGV[1], #KEYS - 4, 5, 2)
