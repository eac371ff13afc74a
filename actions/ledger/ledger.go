// Package ledger remembers what retries taught: how often the retries of a job passed after
// a failure of a class. By it, `min_pass_rate` skips retries that hardly pass.
//
// A try is a retried run that has ended, passed or failed. It comes into the queue in the
// same step with which the event of its end is done, under an id of its job, and out of it
// in the same step with which it is added to the statistics. So each try counts once,
// whatever crashes, that it was counted is kept for as long as statistics are, and no replica loses what another one added: that step fails if the
// statistics have changed since they were read, and is repeated.
//
//	end of a retried run ──► try in the queue ──► statistics, and, where the retries of a
//	                                              job have turned out not to be worth it,
//	                                              or to be so again, the announcement
//
// # Statistics
//
// Each leaf counts the tries of one (rule, class, project, job) that passed and that failed.
// The leaves of a project are in 16 values of the store, by a hash of class and job; those of
// a class, by rule, in another one. Counts lose half their weight in two weeks, and a job's leaf remembers three times as
// many tries as it takes to find that none passes (40 at 20 %), so that a rate which changes is
// noticed. A value has at most 200 leaves of jobs. Beyond that, a job gets a leaf only in
// place of one of others, or of one that has faded or had no try for 30 days; what that
// counted is added to the leaf that all other jobs of its rule and class share. The jobs
// without a leaf are counted, and judged, by that one: a new job among them does not
// throw out an old one, so that each leaf lives until it tells something.
//
// The tries of others, which GitLab's own `retry:` or people made, have leaves without a
// rule: GitLab does not tell one from the other. Only those that began within 15 minutes of
// the failure count, because a rerun hours later says little about a retry at once. They are
// never evidence about a rule's own retries, only a parent of it: with the strength of two
// tries, like the other parents, they can neither stop the retries of a job nor keep them
// going by themselves. A backtest can add those of the time before the server ran, with the
// weight that they have left.
//
// # Estimate
//
// The pass rate of a rule's retries of a job has a Beta distribution: its own tries, and
// as prior two tries with the mean of its parents: the tries of others of the same job and
// class, those of the rule and class elsewhere, those of the class elsewhere. Each parent is
// shrunk towards the next one in the same way, and the last towards 1/2, so that without any
// other tries the prior is uniform. The mean is 1/2 at most: other retries that pass are no
// reason to go on with a job's that don't. If the pass rate is at least `min_pass_rate` with a
// probability under 5 %, retries are not worth it; the tries must have the weight of 8. At
// 20 % and without a pass, that takes 13 tries. With more than these, the probability must be
// lower as they are more (2.5 % with 27): it is looked at after each try, and might be low
// once by chance. One in 20 retries is made all the same, as a probe. Once the probability is
// 50 %, because probes passed or the tries are too old, all are made again.
//
// What is learned can only skip a retry that the rules allow. Statistics that can't be read
// count as none, and the next try replaces them.
package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// DefaultRetention is how long the store keeps statistics after the last try, unless a
	// setting says otherwise.
	DefaultRetention = 30 * 24 * time.Hour
	// maxAdds is how often a try is added again at once because another replica has changed
	// the statistics meanwhile, and addLater when it is tried again then.
	maxAdds  = 5
	addLater = time.Second
)

// Guard is the state that replicas share.
type Guard interface {
	Get(ctx context.Context, key string) ([]byte, error)
}

// Queue says what is in the queue, and takes tries.
type Queue interface {
	Queued(ctx context.Context, ids ...string) (bool, error)
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
}

// Metrics counts tries.
type Metrics interface {
	// Retry counts a retry whose new run has ended after so many seconds.
	Retry(rule, class string, passed bool, seconds float64)
	// UnreadableLedger counts statistics that can't be read.
	UnreadableLedger()
}

// Announcer sends messages to channels.
type Announcer interface {
	// AnnounceOf sends the text of a notice to its address, once for each key, unless its
	// rules, the project or the address are muted. It returns an error while a later call can
	// succeed, which ends some time after since; about are attributes for the log.
	AnnounceOf(ctx context.Context, key string, of event.Project, n event.Notice, since time.Time, about ...any) error
}

// Config configures a Ledger. All fields are required.
type Config struct {
	Guard     Guard
	Queue     Queue
	Announcer Announcer
	Rules     func() *rules.Rules     // those in force
	Facts     func() expression.Facts // for the channels of announcements
	Metrics   Metrics
	Now       func() time.Time
	Log       *slog.Logger
	// Retention is how long statistics are kept after the last try that they count.
	Retention time.Duration
}

// Ledger is the ledger of all replicas. It is safe for concurrent use.
type Ledger struct {
	Config
	adding sync.Mutex // held while this process changes statistics
	// unreadable has the keys of statistics that this process has logged as such.
	unreadable sync.Map
}

// New returns a Ledger.
func New(c Config) *Ledger { return &Ledger{Config: c} }

// statistics are the two values that have the leaves of a job.
type statistics struct {
	project, class value
}

// value is a value of the store with leaves.
type value struct {
	key  string
	read []byte // as the store has it
	leaves
}

// load reads the statistics that have the leaves of a label.
func (l *Ledger) load(ctx context.Context, e event.Event, of label) (s statistics, err error) {
	s.project.key = keys.ProjectTries(e.Meta.Instance, e.Project.ID, of.part())
	s.class.key = keys.ClassTries(of.Class)
	var reading errgroup.Group
	for _, v := range []*value{&s.project, &s.class} {
		reading.Go(func() error { return l.read(ctx, v) })
	}
	return s, reading.Wait()
}

// read reads a value. One that can't be decoded has no leaves: it is logged, once by each
// process, and counted.
func (l *Ledger) read(ctx context.Context, v *value) (err error) {
	if v.read, err = l.Guard.Get(ctx, v.key); err != nil {
		return err
	}
	var bad error
	if v.leaves, bad = decode(v.read, l.Now()); bad == nil {
		return nil
	}
	l.Metrics.UnreadableLedger()
	if _, logged := l.unreadable.LoadOrStore(v.key, true); !logged {
		l.Log.ErrorContext(ctx, "what was learned of retries can't be read: nothing is known of them, and the next retry that ends replaces it", "key", v.key, "error", bad)
	}
	return nil
}

// HandleTry adds a try to the statistics. It does nothing if `learning` is off by now, or if
// the try was counted before.
func (l *Ledger) HandleTry(ctx context.Context, lease *worker.Lease, t Try) error {
	if !l.Rules().Learns() {
		return lease.Done(ctx)
	}
	if wait, err := l.attribute(ctx, &t); err != nil || wait > 0 {
		return errors.Join(err, deferFor(ctx, lease, wait))
	}
	l.adding.Lock()
	defer l.adding.Unlock()
	for range maxAdds {
		changes, isNew, err := l.add(ctx, t)
		if err != nil {
			return err
		}
		err = lease.DoneWith(ctx, changes)
		if err == nil && isNew && t.By != byBacktest {
			l.Metrics.Retry(t.Rule, t.class(), t.passed(), t.Retried.NewSeconds)
		}
		if !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
	return &worker.LaterError{Err: errors.New("other replicas add to the same statistics"), After: addLater}
}

func deferFor(ctx context.Context, lease *worker.Lease, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return lease.Defer(ctx, wait)
}

// add returns the changes that add a try to the statistics, and announce it if the retries
// of its job have turned. There are none for a run that was added before: the end of one can
// be seen again when the store has forgotten the id of its record.
func (l *Ledger) add(ctx context.Context, t Try) (c store.Changes, isNew bool, err error) {
	if known, err := l.known(ctx, t, keys.Counted); err != nil || known {
		return c, false, err
	}
	key := keys.Counted(t.Meta.Instance, t.Job.ID)
	c.Values = []store.Value{{Key: key, Value: []byte("1"), TTL: l.Retention}}
	c.Expect = []store.Expected{{Key: key}}
	if !t.counts() {
		return c, true, nil
	}
	of := label{t.Rule, t.class(), t.Job.Name}
	s, err := l.load(ctx, t.Event, of)
	if err != nil {
		return c, false, err
	}
	counted, turned := s.learn(of, t.passed(), l.minPassRate(t.Rule), t.At, l.Now().UTC())
	if turned {
		if c.Next, err = t.turned(counted); err != nil {
			return c, false, err
		}
	}
	for _, v := range []value{s.project, s.class} {
		body, err := json.Marshal(v.leaves)
		if err != nil {
			return c, false, err
		}
		c.Values = append(c.Values, store.Value{Key: v.key, Value: body, TTL: l.Retention})
		c.Expect = append(c.Expect, store.Expected{Key: v.key, Value: v.read})
	}
	return c, true, nil
}

// minPassRate returns the rate that a rule wants now; 0: none.
func (l *Ledger) minPassRate(rule string) float64 {
	r := l.Rules().Rule(rule)
	if r == nil {
		return 0
	}
	for _, a := range r.Actions {
		if a.Verb == event.VerbRetry && a.MinPassRate > 0 {
			return a.MinPassRate
		}
	}
	return 0
}

// hashed returns a text as it stands in keys, which are short.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
