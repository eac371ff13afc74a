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

// Subscribed reports whether the store is subscribed to wake-up messages.
func (r *Store) Subscribed() bool { return r.subscribed.Load() }

// NextWakeup returns a channel that the next wake-up message closes.
func (r *Store) NextWakeup() <-chan struct{} { return r.queued.Next() }
