package redis

// WithSkew returns the options with a clock that runs ahead of Redis's by as
// many microseconds as the key Prefix + "skew" holds.
func WithSkew(o Options) Options {
	o.prelude = `
local redisTime = time
local function time()
  return redisTime() + tonumber(redis.call('GET', '` + o.Prefix + `skew') or 0)
end
`
	return o
}

// Hears tells whether wake-up messages come.
func (r *Store) Hears() bool { return r.hearing.Load() }

// Woken returns what the next wake-up message closes.
func (r *Store) Woken() <-chan struct{} { return r.queued.Next() }
