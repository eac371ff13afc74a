// Package redis is the store in Redis, for any number of processes at a time: one
// Redis, a master that Sentinels watch, or a Cluster.
package redis

import (
	"cmp"
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

// DefaultPrefix is the prefix of all keys. The part in braces is their hash tag:
// because of it a Cluster keeps all keys on one master, as the scripts need.
const DefaultPrefix = "{pipesteward}:"

const (
	// pollEvery is how long a Wait lasts at most while the store is subscribed
	// to wake-up messages, in case that one is lost; pollUnsubscribed, while it
	// is not.
	pollEvery        = time.Second
	pollUnsubscribed = 100 * time.Millisecond

	// clusterReload is the interval at which a Cluster client looks up the
	// masters: it notices a failover after this time at most.
	clusterReload = time.Second

	// maxReply is how many records or entries one script returns at most:
	// Redis serves nobody else meanwhile.
	maxReply = 1000
)

// Options are the settings of a Store.
type Options struct {
	Prefix    string          // of all keys, with a hash tag; "": DefaultPrefix
	DedupeTTL time.Duration   // how long an id is remembered after its Put; 0: store.DefaultDedupeTTL
	Retention store.Retention // of the journal and of logs
	TLS       *tls.Config     // for rediss://; nil: the system's certificate authorities, TLS 1.2 or newer
	// CallTimeout bounds a call; an attempt to connect, a write or a read may take two thirds
	// of it. 0: DefaultCallTimeout.
	CallTimeout time.Duration

	prelude string // Lua code before each script; tests move the clock with it
}

// DefaultCallTimeout is how long a call may take, unless the options say otherwise.
const DefaultCallTimeout = 1500 * time.Millisecond

// Store is a store.Store in Redis, for any number of processes at a time.
//
// Each call is one script, which is atomic and takes one round trip. Puts that
// wait share a script, and so do Dones. A script is sent once: if the reply is
// lost, the call returns an error and may have taken effect. A record that was
// leased by such a call is due again when its visibility is over. Calls return
// within 2 seconds, unless the options say otherwise, whatever the state of Redis, and succeed again as soon as it
// does.
//
// What a call changed is as durable as Redis is: see Warnings.
type Store struct {
	url         serverURL // that the store was opened with
	login       *atomic.Pointer[credentials]
	client      goredis.UniversalClient
	scripts     map[string]script
	prefix      string
	callTimeout time.Duration
	queue       []string // the keys of the queue's scripts, see lib.lua
	dead        string
	journal     []string // the keys of the journal's scripts, see note.lua
	puts        *batcher
	dones       *batcher
	dedupeTTL   time.Duration
	retention   store.Retention
	warnings    []string

	queued      store.Notifier // of records that may be due sooner
	subscribed  atomic.Bool    // to wake-up messages
	unsubscribe context.CancelFunc
	listened    chan struct{} // closed when listen has returned

	mu        sync.RWMutex  // calls hold it for reading
	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the Redis (6.2 or newer) at url:
//
//	redis://[[user]:password@]host[:port][/db]
//	redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/master-name[/db][?sentinel_username=…&sentinel_password=…]
//	redis+cluster://[[user]:password@]host[:port][,host[:port]…]
//
// A scheme with rediss uses TLS. User and password are those of Redis. Open
// returns an error if the URL is invalid, or if Redis cannot be reached, is too
// old, is a replica, or may evict records. It waits up to 10 seconds for a Redis
// that does not answer or is loading its data.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	u, err := parseURL(url)
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
	scripts, err := loadScripts(o.prelude)
	if err != nil {
		return nil, err
	}
	logging.Disable() // go-redis writes the errors that callers get to stderr, too

	key := func(name string) string { return o.Prefix + name }
	listening, unsubscribe := context.WithCancel(context.Background())
	login := new(atomic.Pointer[credentials])
	login.Store(&credentials{u.user, u.password})
	o.CallTimeout = cmp.Or(o.CallTimeout, DefaultCallTimeout)
	r := &Store{
		url:         u,
		login:       login,
		client:      newClient(u, login, o),
		callTimeout: o.CallTimeout,
		scripts:     scripts,
		prefix:      o.Prefix,
		queue:       []string{key("waiting"), key("leased"), key("headers"), key("bodies")},
		dead:        key("dead"),
		journal:     []string{key("journal"), key("entries")},
		dedupeTTL:   o.DedupeTTL,
		retention:   o.Retention,
		unsubscribe: unsubscribe,
		listened:    make(chan struct{}),
		closing:     make(chan struct{}),
	}
	r.puts = &batcher{redis: r, script: "put", keys: r.journal, args: []any{millis(o.DedupeTTL), micros(o.Retention.OfJournal())}}
	r.dones = &batcher{redis: r, script: "done", keys: r.journal, args: []any{millis(o.DedupeTTL), micros(o.Retention.OfJournal())}}
	if err := r.await(ctx); err != nil {
		unsubscribe()
		_ = r.client.Close()
		return nil, err
	}
	go r.listen(listening)
	return r, nil
}

// credentials are what new connections authenticate with.
type credentials struct{ user, password string }

// SetURL has new connections use the user and the password of the URL; open
// connections stay authenticated. It returns an error, without the password, if
// anything else in the URL differs: that can't change while the store is open.
func (r *Store) SetURL(raw string) error {
	u, err := parseURL(raw)
	if err != nil {
		return fmt.Errorf("store: the URL of Redis is wrong: %w", err)
	}
	next := credentials{u.user, u.password}
	u.user, u.password = r.url.user, r.url.password
	if !reflect.DeepEqual(u, r.url) {
		return errors.New("store: only user and password can change while the store is open: restart for another Redis, or other credentials of the Sentinels")
	}
	r.login.Store(&next)
	return nil
}

// newClient returns the client, which connects when it is first used.
func newClient(u serverURL, login *atomic.Pointer[credentials], options Options) goredis.UniversalClient {
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

		DialTimeout:           options.CallTimeout * 2 / 3,
		DialerRetries:         1,
		ReadTimeout:           options.CallTimeout * 2 / 3,
		WriteTimeout:          options.CallTimeout * 2 / 3,
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		PipelinePoolSize:      -1,
		DisableIdentity:       true,

		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if u.tls {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if options.TLS != nil {
			o.TLSConfig = options.TLS.Clone()
		}
	}
	switch u.mode {
	case sentinel:
		return goredis.NewFailoverClient(o.Failover())
	case cluster:
		c := o.Cluster()
		c.DisableRoutingPolicies = true // the first key suffices
		c.ClusterStateReloadInterval = clusterReload
		return goredis.NewClusterClient(c)
	case single:
	}
	return goredis.NewClient(o.Simple())
}

// Warnings returns the settings of Redis that may lose acknowledged records, as
// they were when the store was opened, each as a text for operators.
func (r *Store) Warnings() []string { return r.warnings }

// Close implements store.Store. A second Close does nothing.
func (r *Store) Close() error {
	r.closeOnce.Do(func() {
		close(r.closing)
		r.unsubscribe()
		r.mu.Lock() // waits for the calls in flight
		defer r.mu.Unlock()
		<-r.listened
		r.closeErr = r.client.Close()
		r.puts.sending.Wait() // the calls whose callers gave up
		r.dones.sending.Wait()
	})
	return r.closeErr
}

// Ping implements store.Store: it writes.
func (r *Store) Ping(ctx context.Context) error {
	return r.call(ctx, func(ctx context.Context) error {
		return r.client.Set(ctx, r.prefix+"ping", "", time.Minute).Err()
	})
}

// call runs f, which uses the client, with a timeout, and explains its error.
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
	bounded, cancel := context.WithTimeout(ctx, r.callTimeout)
	defer cancel()
	err := f(bounded)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return r.explain(err)
}

// explain adds to an error which Redis it came from, and what to do about it.
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

// noAnswerError says that Redis did not answer in time. It does not wrap the
// cause, which looks as if the caller's context had ended.
type noAnswerError struct{ text string }

func (e *noAnswerError) Error() string { return e.text }

// listen notifies those who wait of each wake-up message, and whenever it may
// have missed some. The client renews the subscription by itself.
func (r *Store) listen(ctx context.Context) {
	defer close(r.listened)
	messages := r.client.Subscribe(ctx, r.queue[0])
	context.AfterFunc(ctx, func() { _ = messages.Close() }) // ends Receive
	for ctx.Err() == nil {
		_, err := messages.Receive(ctx)
		r.subscribed.Store(err == nil)
		if err == nil {
			r.queued.Notify()
			continue
		}
		select {
		case <-time.After(pollUnsubscribed):
		case <-ctx.Done():
		}
	}
}
