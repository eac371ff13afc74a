package store

// WithSkew returns the options with a clock that runs ahead of Redis's by as
// many microseconds as the key Prefix + "skew" holds.
func WithSkew(o RedisOptions) RedisOptions {
	o.prelude = `
local redisTime = time
local function time()
  return redisTime() + tonumber(redis.call('GET', '` + o.Prefix + `skew') or 0)
end
`
	return o
}

// Hears tells whether wake-up messages come.
func (r *Redis) Hears() bool { return r.hearing.Load() }

// Woken returns what the next wake-up message closes.
func (r *Redis) Woken() <-chan struct{} { return r.queued.Next() }
