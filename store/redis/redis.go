package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/pipesteward/pipesteward/store"
)

// DefaultPrefix begins all keys. What stands in the braces is their hash
// tag: by it a Cluster keeps them all on one master, as the scripts need.
const DefaultPrefix = "{pipesteward}:"

const (
	// dialTimeout, ioTimeout and callTimeout bound how long a connection, one
	// write or read, and a whole call take.
	dialTimeout = time.Second
	ioTimeout   = time.Second
	callTimeout = 1500 * time.Millisecond

	// pollEvery is how often a Wait ends while wake-up messages come, in case
	// that one was lost; pollDeaf, while none can come.
	pollEvery = time.Second
	pollDeaf  = 100 * time.Millisecond

	// clusterReload is how old a Cluster client's knowledge of the masters may
	// become: a failover is seen so late.
	clusterReload = time.Second

	// maxBatch is how many records or entries one script hands out: Redis
	// serves nobody else meanwhile.
	maxBatch = 1000
)

// RedisOptions are the settings of a Redis.
type Options struct {
	Prefix     string        // begins all keys, and holds a hash tag; "": DefaultPrefix
	DedupeTTL  time.Duration // how long an id is remembered, from its Put; 0: DefaultDedupeTTL
	JournalTTL time.Duration // how long an entry is kept; 0: DefaultJournalTTL
	TLS        *tls.Config   // for rediss://; nil: the system's authorities, TLS 1.2 or newer

	prelude string // Lua before each script; tests move the clock in it
}

// Redis is a Store for any number of processes at a time.
//
// Each call is one script, so one step and one round trip; Puts that wait
// share one, and so do Dones. It is sent once: when the answer is lost, the
// call returns an error and may have taken effect. A record that was leased
// that way comes back when its visibility is over. Calls return within 2
// seconds, whatever has become of Redis, and succeed by themselves when it is
// back.
//
// What was acknowledged is as durable as Redis is: see Warnings.
type Store struct {
	url        redisURL // as it was opened
	login      *atomic.Pointer[redisLogin]
	client     goredis.UniversalClient
	scripts    map[string]script
	prefix     string
	queue      []string // the keys of the queue's scripts, see lib.lua
	dead       string
	journal    []string // the keys of the journal's scripts, see note.lua
	puts       *gatherer
	dones      *gatherer
	journalTTL time.Duration
	warnings   []string

	queued   store.Notifier // when a record may be due sooner
	hearing  atomic.Bool    // wake-up messages come
	deafen   context.CancelFunc
	listened chan struct{} // closed when the listening goroutine has ended

	mu        sync.RWMutex  // held for reading by calls
	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the Redis (6.2 or newer) at the URL:
//
//	redis://[[user]:password@]host[:port][/db]
//	redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/master-name[/db][?sentinel_username=…&sentinel_password=…]
//	redis+cluster://[[user]:password@]host[:port][,host[:port]…]
//
// The same with rediss is TLS. User and password are those of Redis. It
// returns an error that says why when the URL is wrong, when Redis cannot be
// reached, is too old, is a replica, or may evict what is queued. It gives one
// that does not answer, or loads its data, up to 10 seconds.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	u, err := parseRedisURL(url)
	if err != nil {
		return nil, fmt.Errorf("store: the URL of Redis is wrong: %w", err)
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if open := strings.Index(o.Prefix, "{"); open < 0 || strings.Index(o.Prefix[open:], "}") < 2 {
		return nil, fmt.Errorf("store: the prefix %q has no hash tag: write one like %q", o.Prefix, DefaultPrefix)
	}
	if o.DedupeTTL == 0 {
		o.DedupeTTL = store.DefaultDedupeTTL
	}
	if o.JournalTTL == 0 {
		o.JournalTTL = store.DefaultJournalTTL
	}
	scripts, err := loadScripts(o.prelude)
	if err != nil {
		return nil, err
	}
	logging.Disable() // go-redis would write to stderr what callers get as errors

	key := func(name string) string { return o.Prefix + name }
	listening, deafen := context.WithCancel(context.Background())
	login := new(atomic.Pointer[redisLogin])
	login.Store(&redisLogin{u.user, u.password})
	r := &Store{
		url:        u,
		login:      login,
		client:     newRedisClient(u, login, o.TLS),
		scripts:    scripts,
		prefix:     o.Prefix,
		queue:      []string{key("waiting"), key("leased"), key("headers"), key("bodies")},
		dead:       key("dead"),
		journal:    []string{key("journal"), key("entries")},
		journalTTL: o.JournalTTL,
		deafen:     deafen,
		listened:   make(chan struct{}),
		closing:    make(chan struct{}),
	}
	r.puts = &gatherer{redis: r, script: "put", args: []any{millis(o.DedupeTTL)}}
	r.dones = &gatherer{redis: r, script: "done", args: []any{millis(o.DedupeTTL)}}
	if err := r.await(ctx); err != nil {
		deafen()
		_ = r.client.Close()
		return nil, err
	}
	go r.listen(listening)
	return r, nil
}

// redisLogin is what new connections to Redis authenticate with.
type redisLogin struct{ user, password string }

// SetURL takes user and password of the URL for new connections. Those that are
// open stay as they are: Redis asks a connection once. Anything else of the URL
// can't change while the store is open; the error says so, and holds no password.
func (r *Store) SetURL(raw string) error {
	u, err := parseRedisURL(raw)
	if err != nil {
		return fmt.Errorf("store: the URL of Redis is wrong: %w", err)
	}
	login := redisLogin{u.user, u.password}
	u.user, u.password = r.url.user, r.url.password
	if !reflect.DeepEqual(u, r.url) {
		return errors.New("store: only user and password can change while the store is open: restart for another Redis, or other credentials of the Sentinels")
	}
	r.login.Store(&login)
	return nil
}

// newRedisClient makes the client; it connects when it is used.
func newRedisClient(u redisURL, login *atomic.Pointer[redisLogin], tlsConfig *tls.Config) goredis.UniversalClient {
	o := &goredis.UniversalOptions{
		Addrs: u.addrs,
		DB:    u.db,
		CredentialsProviderContext: func(context.Context) (user, password string, err error) {
			l := login.Load()
			return l.user, l.password, nil
		},
		MasterName:       u.master,
		SentinelUsername: u.sentinelUser,
		SentinelPassword: u.sentinelPassword,

		DialTimeout:           dialTimeout,
		DialerRetries:         1,
		ReadTimeout:           ioTimeout,
		WriteTimeout:          ioTimeout,
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		PipelinePoolSize:      -1,
		DisableIdentity:       true,

		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if u.tls {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if tlsConfig != nil {
			o.TLSConfig = tlsConfig.Clone()
		}
	}
	switch u.mode {
	case sentinel:
		return goredis.NewFailoverClient(o.Failover())
	case cluster:
		c := o.Cluster()
		c.DisableRoutingPolicies = true // the first key is all that is needed
		c.ClusterStateReloadInterval = clusterReload
		return goredis.NewClusterClient(c)
	case single:
	}
	return goredis.NewClient(o.Simple())
}

// Warnings says what of Redis's settings may lose records that were
// acknowledged, as it was when the store was opened.
func (r *Store) Warnings() []string { return r.warnings }

// Close implements Store. A second Close does nothing.
func (r *Store) Close() error {
	r.closeOnce.Do(func() {
		close(r.closing)
		r.deafen()
		r.mu.Lock() // when no call is under way
		defer r.mu.Unlock()
		<-r.listened
		r.closeErr = r.client.Close()
		r.puts.flights.Wait() // of calls that were given up
		r.dones.flights.Wait()
	})
	return r.closeErr
}

// Ping implements Store: it writes.
func (r *Store) Ping(ctx context.Context) error {
	return r.call(ctx, func(ctx context.Context) error {
		return r.client.Set(ctx, r.prefix+"ping", "", time.Minute).Err()
	})
}

// call has f talk to Redis, for a bounded time, and explains its error.
func (r *Store) call(ctx context.Context, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	select {
	case <-r.closing:
		return store.ErrClosed
	default:
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := f(bounded)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return r.explain(err)
}

// explain says which Redis an error came from, and what to do about it.
func (r *Store) explain(err error) error {
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, goredis.Nil) && r.url.mode == sentinel:
		return fmt.Errorf("store: the Sentinels %s know no master %q: use the name that their configuration has", strings.Join(r.url.addrs, ","), r.url.master)
	case goredis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("store: %v is out of memory, and nothing was changed (%w): raise its maxmemory", r.url, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return &noAnswerError{fmt.Sprintf("store: %v does not answer (%s)", r.url, err.Error())}
	}
	return fmt.Errorf("store: %v: %w", r.url, err)
}

// noAnswerError is that Redis did not answer in time. It does not wrap why, lest it
// looks as if the caller's context had ended.
type noAnswerError struct{ text string }

func (e *noAnswerError) Error() string { return e.text }

// listen notifies of each wake-up message, and whenever messages may
// have been missed. The subscription comes back by itself.
func (r *Store) listen(ctx context.Context) {
	defer close(r.listened)
	messages := r.client.Subscribe(ctx, r.queue[0])
	context.AfterFunc(ctx, func() { _ = messages.Close() }) // ends Receive
	for ctx.Err() == nil {
		_, err := messages.Receive(ctx)
		r.hearing.Store(err == nil)
		if err == nil {
			r.queued.Notify()
			continue
		}
		select {
		case <-time.After(pollDeaf):
		case <-ctx.Done():
		}
	}
}
