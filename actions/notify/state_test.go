package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const redRules = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - name: red
    on: pipeline
    if: pipeline.status in ["failed", "success", "running"]
    notify:
      - {state: pipeline.status == "failed", text: "{{ pipeline.id }} red", resolved: "{{ pipeline.id }} green"}
  - name: flaky
    on: job
    notify:
      - {state: job.status == "failed", text: "{{ job.name }} red", resolved: "{{ job.name }} green"}
`

// stateRig is a Notifier on a store, with a receiver that remembers what it is sent.
type stateRig struct {
	testing.TB
	clock    *storetest.Clock
	db       store.Store
	rules    *rules.Rules
	facts    expression.Facts
	receiver *recorder
	pool     *worker.Pool
	outcomes int
}

// recorder is a receiver; it fails for the texts that fails has.
type recorder struct {
	mu    sync.Mutex
	sent  []event.Notice
	fails string
}

func (r *recorder) Notify(_ context.Context, _ event.Outcome, n event.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != "" && strings.Contains(n.Text, r.fails) {
		return notNowError{}
	}
	r.sent = append(r.sent, n)
	return nil
}

// notNowError is the error of a receiver that answers, and takes the same notice later.
type notNowError struct{}

func (notNowError) Error() string                { return "not now" }
func (notNowError) Again() (time.Duration, bool) { return time.Second, true }

func (*recorder) Announce(context.Context, string, string, string) error { return nil }

func (r *recorder) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, n := range r.sent {
		all = append(all, n.Text)
	}
	return all
}

type noMetrics struct{}

func (noMetrics) Outcome(event.Outcome)       {}
func (noMetrics) RuleError(string)            {}
func (noMetrics) Notification(string, string) {}

func newStateRig(t testing.TB, dir, ruleFile string) *stateRig {
	t.Helper()
	clock := storetest.NewClock()
	db, err := bolt.Open(filepath.Join(dir, "test.db"), bolt.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	g := &stateRig{TB: t, clock: clock, db: db, receiver: &recorder{}}
	g.load(ruleFile)
	g.pool = g.replica(db, db)
	return g
}

func (g *stateRig) load(ruleFile string) {
	g.Helper()
	rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(ruleFile)})
	if err != nil {
		g.Fatal(err)
	}
	g.rules = rs
}

// replica returns a pool that works on a queue with a guard of the same store.
func (g *stateRig) replica(queue store.Store, guard notify.Guard) *worker.Pool {
	log := slog.New(slog.DiscardHandler)
	n := notify.New(notify.Config{
		Journal: queue, Queue: queue, Guard: guard, Mutes: pause.Mutes{Store: g.db, Now: g.clock.Now}, Receivers: notify.Named(map[string]notify.Receiver{event.ReceiverSlack: g.receiver}), Rules: func() *rules.Rules { return g.rules },
		Facts: func() expression.Facts { return g.facts }, Metrics: noMetrics{}, Now: g.clock.Now, Log: log,
	})
	return worker.New(worker.Config{Queue: queue, Log: log, Workers: 1, SlowLane: 2, Handlers: map[string]worker.Handler{
		event.RecordOutcome: worker.JSON(n.Handle), event.RecordNotice: worker.JSON(n.HandleNotice), event.RecordDigest: worker.JSON(n.HandleDigest),
	}})
}

// queue queues the outcomes of the rules' decisions on an event.
func (g *stateRig) queue(e event.Event) {
	g.Helper()
	decisions, errs := g.rules.Evaluate(context.Background(), e, nil)
	if errs != nil {
		g.Fatal(errs)
	}
	for _, d := range decisions {
		g.outcomes++
		d.ID = fmt.Sprintf("d%03d", g.outcomes)
		record, err := notify.OutcomeRecord(event.Outcome{Decision: d, Result: event.ResultDone, At: g.clock.Now()})
		if err != nil {
			g.Fatal(err)
		}
		if _, err := g.db.Put(context.Background(), record); err != nil {
			g.Fatal(err)
		}
	}
}

// work works until the queue is empty, for a minute at most.
func (g *stateRig) work() {
	g.Helper()
	for range 60 {
		g.pool.WorkOff(context.Background(), time.Minute)
		if d, err := g.db.Depth(context.Background()); err != nil {
			g.Fatal(err)
		} else if d == (store.Depth{}) {
			return
		}
		g.clock.Advance(time.Second)
	}
}

// outcome returns an outcome in the journal.
func (g *stateRig) outcome(n int) (o event.Outcome) {
	g.Helper()
	entry, err := g.db.Entry(context.Background(), fmt.Sprintf("d%03d", n))
	if err != nil || entry == nil {
		g.Fatalf("entry %v, error %v", entry, err)
	}
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		g.Fatal(err)
	}
	return o
}

var began = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ended is the event of a pipeline that ended in a minute.
func ended(pipeline int64, minute int, status string) event.Event {
	e := event.Event{
		Meta:    event.Meta{Kind: event.KindPipeline, Instance: "https://gitlab.example.com", ReceivedAt: began.Add(time.Hour)},
		Project: event.Project{ID: 7, Path: "platform/shop"},
	}
	e.Pipeline = event.Pipeline{ID: pipeline, Ref: "main", Status: status, CreatedAt: began, Jobs: []event.Job{{ID: 10 * pipeline, CreatedAt: began}}}
	if event.Ended(status) {
		e.Pipeline.FinishedAt = began.Add(time.Duration(minute) * time.Minute)
	}
	return e
}

// with changes an event.
func with(e event.Event, change func(e *event.Event)) event.Event {
	change(&e)
	return e
}

// ofJob is the event of a job that ended in a minute.
func ofJob(pipeline, job int64, name string, minute int, status string) event.Event {
	return with(ended(pipeline, minute, status), func(e *event.Event) {
		e.Meta.Kind, e.Pipeline.Jobs = event.KindJob, nil
		e.Job = event.Job{ID: job, Name: name, Status: status, FinishedAt: e.Pipeline.FinishedAt}
	})
}

// TestStates: what people hear of a sequence of events.
func TestStates(t *testing.T) {
	t.Parallel()
	onRef := func(ref string) func(*event.Event) { return func(e *event.Event) { e.Pipeline.Ref = ref } }
	for _, c := range []struct {
		name   string
		events []event.Event
		want   []string
	}{
		{"the first event says false", []event.Event{ended(1, 1, "success")}, nil},
		{"the first event says true", []event.Event{ended(1, 1, "failed")}, []string{"1 red"}},
		{"it stays true", []event.Event{ended(1, 1, "failed"), ended(2, 2, "failed")}, []string{"1 red"}},
		{"it ends once", []event.Event{ended(1, 1, "failed"), ended(2, 2, "success"), ended(3, 3, "success")}, []string{"1 red", "2 green"}},
		{"it begins again", []event.Event{ended(1, 1, "failed"), ended(2, 2, "success"), ended(3, 3, "failed")}, []string{"1 red", "2 green", "3 red"}},
		{"an older pipeline ends later", []event.Event{ended(2, 2, "success"), ended(1, 3, "failed")}, nil},
		{"the same pipeline is delivered again", []event.Event{ended(1, 1, "failed"), ended(2, 2, "success"), ended(1, 1, "failed")}, []string{"1 red", "2 green"}},
		{"a retried pipeline ends again", []event.Event{ended(1, 1, "failed"), ended(1, 5, "success")}, []string{"1 red", "1 green"}},
		{"its first end comes late", []event.Event{ended(1, 5, "success"), ended(1, 1, "failed")}, nil},
		{"its running comes late", []event.Event{ended(1, 1, "failed"), ended(1, 0, "running")}, []string{"1 red"}},
		{"it is retried, and runs", []event.Event{ended(1, 1, "failed"), with(ended(1, 1, "running"), func(e *event.Event) {
			e.Pipeline.FinishedAt, e.Pipeline.Jobs = began.Add(time.Minute), []event.Job{{ID: 11, CreatedAt: began.Add(2 * time.Minute)}}
		})}, []string{"1 red", "1 green"}},
		{"a fraction of a second", []event.Event{with(ended(1, 0, "running"), func(e *event.Event) {
			e.Pipeline.Jobs[0].FinishedAt = began.Add(time.Minute + 900*time.Millisecond) // catch-up has it of the API
		}), ended(1, 1, "failed")}, []string{"1 red"}},
		{"its running, of the second in which it ended, comes late", []event.Event{ended(1, 1, "failed"), with(ended(1, 0, "running"), func(e *event.Event) {
			e.Pipeline.Jobs[0].FinishedAt = began.Add(time.Minute)
		})}, []string{"1 red"}},
		{"other refs", []event.Event{
			ended(1, 1, "failed"), with(ended(2, 2, "success"), onRef("other")), with(ended(3, 3, "failed"), onRef("other")),
			with(ended(4, 4, "success"), func(e *event.Event) { e.Pipeline.Tag = true }), // a tag called main
		}, []string{"1 red", "3 red"}},
		{"another project", []event.Event{ended(1, 1, "failed"), with(ended(2, 2, "success"), func(e *event.Event) { e.Project.ID = 8 })}, []string{"1 red"}},
		{"a merge request, as a hook and the API have it", []event.Event{
			with(ended(1, 1, "failed"), func(e *event.Event) { e.Pipeline.Ref, e.MergeRequest.IID = "cart", 9 }),
			with(ended(2, 2, "success"), onRef("refs/merge-requests/9/train")),
			with(ended(3, 3, "success"), onRef("cart")), // its branch
			with(ended(4, 4, "success"), onRef("refs/merge-requests/9/merge")),
		}, []string{"1 red", "4 green"}},
		{"a child is as old as its parent", []event.Event{
			with(ended(2, 2, "success"), func(e *event.Event) { e.Pipeline.Upstream = event.Upstream{ProjectID: 7, PipelineID: 1} }),
			ended(1, 3, "failed"),
		}, []string{"1 red"}},
		{"triggered by another project", []event.Event{
			with(ended(5, 2, "success"), func(e *event.Event) { e.Pipeline.Upstream = event.Upstream{ProjectID: 8, PipelineID: 1} }),
			ended(4, 3, "failed"),
		}, nil},
		{"jobs by name", []event.Event{
			ofJob(1, 10, "rspec", 1, "failed"), ofJob(1, 11, "lint", 2, "success"), ofJob(1, 12, "rspec", 3, "success"), ofJob(1, 10, "rspec", 1, "failed"),
		}, []string{"rspec red", "rspec green"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStateRig(t, t.TempDir(), redRules)
			defer func() { _ = g.db.Close() }()
			for _, e := range c.events {
				g.queue(e)
				g.work()
			}
			if diff := cmp.Diff(c.want, g.receiver.texts()); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStateInTheJournal: an outcome says what came of its states, and a turn's end has the
// message and the address of its beginning.
func TestStateInTheJournal(t *testing.T) {
	t.Parallel()
	g := newStateRig(t, t.TempDir(), `
version: 1
defaults: {group: false}
rules: [{name: red, on: pipeline, notify: [{channel: "#{{ pipeline.name }}", state: pipeline.status == "failed"}]}]
`)
	defer func() { _ = g.db.Close() }()
	inChannel := func(name string, e event.Event) { e.Pipeline.Name = name; g.queue(e); g.work() }
	inChannel("a", ended(1, 1, "failed"))
	inChannel("b", ended(2, 4, "failed"))
	inChannel("c", ended(3, 125, "success"))
	inChannel("d", ended(1, 200, "failed"))
	for i, want := range []event.State{
		{Value: true, Turn: event.StateBegan, Since: began.Add(time.Minute)},
		{Value: true, Since: began.Add(time.Minute)},
		{Turn: event.StateResolved, Since: began.Add(125 * time.Minute), Before: began.Add(time.Minute), To: event.Address{Receiver: event.ReceiverSlack, Channel: "#a"}},
		{Value: true, Late: true, Since: began.Add(125 * time.Minute)},
	} {
		o := g.outcome(i + 1)
		got := o.States[0]
		if (got.Subject != "") != (got.Turn != "") || (len(o.Notifications) == 1) != (got.Turn != "") {
			t.Errorf("outcome %d: %+v, %+v", i+1, got, o.Notifications)
		}
		got.Entry, got.If, got.Subject = "", "", ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outcome %d (-want +got):\n%s", i+1, diff)
		}
	}
	texts := []string{
		"Rule `red` in platform/shop on main: true since 2026-11-22 12:01 UTC, by pipeline #1 a",
		"Rule `red` in platform/shop on main: over since 2026-11-22 14:05 UTC, by pipeline #3 c; it was true for 2h4m",
	}
	if diff := cmp.Diff(texts, g.receiver.texts()); diff != "" {
		t.Errorf("default texts (-want +got):\n%s", diff)
	}
	if sent := g.receiver.sent; len(sent) == 2 && (sent[0].Subject != sent[1].Subject || sent[0].Address != sent[1].Address) {
		t.Errorf("the end is another message than the beginning: %+v", sent)
	}
}

// TestStateOutlivesAReload: a state is kept while its entry is, with whatever texts, and
// forgotten with its rule's name or after 30 days without an event.
func TestStateOutlivesAReload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		then func(g *stateRig)
		want []string
	}{
		{"another text", func(g *stateRig) { g.load(strings.Replace(redRules, "id }} green", "id }} is green", 1)) }, []string{"1 red", "3 is green"}},
		{"another name", func(g *stateRig) { g.load(strings.Replace(redRules, "name: red", "name: blue", 1)) }, []string{"1 red"}},
		{"29 days", func(g *stateRig) { g.clock.Advance(29 * 24 * time.Hour) }, []string{"1 red", "3 green"}},
		{"29 days, twice", func(g *stateRig) {
			g.clock.Advance(29 * 24 * time.Hour)
			g.queue(ended(2, 2, "failed"))
			g.work()
			g.clock.Advance(29 * 24 * time.Hour)
		}, []string{"1 red", "3 green"}},
		{"31 days", func(g *stateRig) { g.clock.Advance(31 * 24 * time.Hour) }, []string{"1 red"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStateRig(t, t.TempDir(), redRules)
			defer func() { _ = g.db.Close() }()
			g.queue(ended(1, 1, "failed"))
			g.work()
			c.then(g)
			g.queue(ended(3, 3, "success"))
			g.work()
			if diff := cmp.Diff(c.want, g.receiver.texts()); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTurnsOfAStateAreSentInOrder: while the notice of a turn can't be sent, those of the
// later turns are not.
func TestTurnsOfAStateAreSentInOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fails string
		want  []string
	}{
		{"1 red", nil},
		{"2 green", []string{"1 red"}},
	} {
		t.Run(c.fails, func(t *testing.T) {
			t.Parallel()
			g := newStateRig(t, t.TempDir(), redRules)
			defer func() { _ = g.db.Close() }()
			g.receiver.fails = c.fails
			for _, e := range []event.Event{ended(1, 1, "failed"), ended(2, 2, "success"), ended(3, 3, "failed")} {
				g.queue(e)
				g.work()
			}
			if got := g.receiver.texts(); !slices.Equal(got, c.want) {
				t.Errorf("sent while %s can't be: %q", c.fails, got)
			}
			g.receiver.fails = ""
			for range 10 {
				g.work()
			}
			if got := g.receiver.texts(); !slices.Equal(got, []string{"1 red", "2 green", "3 red"}) {
				t.Errorf("sent %q", got)
			}
		})
	}
}

// TestStatesOfAnySequence: whatever comes, in whatever order and however often, people hear
// of the beginning and the end of a state in turn, and the last they hear is what the newest
// event says. Mutes that come and go keep all from being sent meanwhile, and may keep a
// beginning from being heard at all; then its end is not either.
func TestStatesOfAnySequence(t *testing.T) {
	await.Unraced(t, "it handles record after record in one goroutine")
	t.Parallel()
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		g := newStateRig(t, dir, redRules)
		defer func() { _ = g.db.Close() }()
		var newest event.Event
		project := int64(100 + n) // the store is the same
		shift := rapid.IntRange(0, 2).Draw(rt, "shift")
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Event {
			pipeline, minute := rapid.Int64Range(1, 4).Draw(t, "pipeline"), rapid.IntRange(1, 4).Draw(t, "minute")
			// One end of a pipeline has one status, however often it is delivered.
			status := "success"
			if (minute*minute+int(pipeline)+shift)%3 == 0 {
				status = "failed"
			}
			return with(ended(pipeline, minute, status), func(e *event.Event) { e.Project.ID = project })
		}), 1, 12).Draw(rt, "events")
		muted, quiet := false, -1 // how many notices were sent when the mute began; -1: there is none
		toggle := func() {
			if quiet < 0 {
				g.mute()
				muted, quiet = true, len(g.receiver.sent)
				return
			}
			if len(g.receiver.sent) != quiet {
				rt.Fatalf("sent while muted: %q", g.receiver.texts()[quiet:])
			}
			g.unmute()
			quiet = -1
		}
		for i, e := range events {
			if rapid.IntRange(0, 3).Draw(rt, "mute") == 0 {
				toggle()
			}
			if p := newest.Pipeline; e.Pipeline.ID > p.ID || e.Pipeline.ID == p.ID && e.Pipeline.FinishedAt.After(p.FinishedAt) {
				newest = e
			}
			g.outcomes = 1000*n + i
			g.queue(e)
			if rapid.Bool().Draw(rt, "work") {
				g.work()
			}
		}
		if quiet >= 0 {
			g.work()
			toggle()
		}
		g.work()
		g.work()
		sent := g.receiver.sent
		for i, notice := range sent {
			if want := event.StateTurns[i%2]; notice.Turn != want {
				rt.Fatalf("notice %d is %s, want %s: %q", i, notice.Turn, want, g.receiver.texts())
			}
			if i%2 == 1 && notice.Subject != sent[i-1].Subject || i%2 == 0 && i > 0 && notice.Subject == sent[i-1].Subject {
				rt.Fatalf("notice %d has the subject %s, and the one before it %s", i, notice.Subject, sent[i-1].Subject)
			}
		}
		if red := len(sent)%2 == 1; red != (newest.Pipeline.Status == "failed") && (red || !muted) {
			rt.Fatalf("the newest pipeline %d %s, and people heard %q", newest.Pipeline.ID, newest.Pipeline.Status, g.receiver.texts())
		}
	})
}

func (g *stateRig) mutes() pause.Mutes {
	return pause.Mutes{Store: g.db, Now: g.clock.Now, Log: slog.New(slog.DiscardHandler)}
}

// mute mutes everything.
func (g *stateRig) mute() {
	g.Helper()
	if _, err := g.mutes().Mute(context.Background(), event.Mute{By: "ann"}, false, ""); err != nil {
		g.Fatal(err)
	}
}

func (g *stateRig) unmute() {
	g.Helper()
	if _, err := g.mutes().UnmuteAll(context.Background(), event.Actor{By: "ann"}); err != nil {
		g.Fatal(err)
	}
}

// TestStatesInAMute: what people hear of a state, events and mutes in turn, and what the
// journal has of each turn.
func TestStatesInAMute(t *testing.T) {
	t.Parallel()
	red, green, mute, unmute := "red", "green", "mute", "unmute"
	for _, c := range []struct {
		steps   []string
		want    []string
		journal string
	}{
		{[]string{mute, red, green, unmute, red}, []string{"3 red"}, "muted muted sent"},
		{[]string{mute, red, unmute, green, red}, []string{"3 red"}, "muted muted sent"},
		{[]string{red, mute, green}, []string{"1 red"}, "sent waiting"},
		{[]string{red, mute, green, unmute}, []string{"1 red", "2 green"}, "sent sent"},
		{[]string{red, mute, green, red, unmute}, []string{"1 red", "2 green", "3 red"}, "sent sent sent"},
		{[]string{red, mute, green, red, green, unmute, red}, []string{"1 red", "2 green", "5 red"}, "sent sent muted muted sent"},
		{[]string{red, mute, green, red, unmute, green}, []string{"1 red", "2 green", "3 red", "4 green"}, "sent sent sent sent"},
		{[]string{red, mute, green, unmute, mute, red, green, unmute}, []string{"1 red", "2 green"}, "sent sent muted muted"},
	} {
		t.Run(strings.Join(c.steps, " "), func(t *testing.T) {
			t.Parallel()
			g := newStateRig(t, t.TempDir(), redRules)
			defer func() { _ = g.db.Close() }()
			pipelines := 0
			for _, step := range c.steps {
				switch step {
				case mute:
					g.mute()
				case unmute:
					g.unmute()
				default:
					pipelines++
					g.queue(ended(int64(pipelines), pipelines, map[string]string{red: "failed", green: "success"}[step]))
				}
				g.work()
				g.work()
			}
			if diff := cmp.Diff(c.want, g.receiver.texts()); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
			var results []string
			for i := range pipelines {
				for _, n := range g.outcome(i + 1).Notifications {
					if results = append(results, n.Result); n.Result == event.NotificationMuted && !strings.HasPrefix(n.Muted, "muted (all) by ann") {
						t.Errorf("notification %+v", n)
					}
				}
			}
			if got := strings.Join(results, " "); got != c.journal {
				t.Errorf("the journal has %s, want %s", got, c.journal)
			}
		})
	}
}

// staleGuard has another replica set the state after the first Get of it.
type staleGuard struct {
	notify.Guard
	meanwhile func()
}

func (s *staleGuard) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Guard.Get(ctx, key)
	if do := s.meanwhile; strings.HasPrefix(key, "state:") && do != nil {
		s.meanwhile = nil
		do()
	}
	return value, err
}

// TestTwoReplicasSetAState: a replica that has read a state which another one then changes
// reads it again, and neither notifies of the same turn.
func TestTwoReplicasSetAState(t *testing.T) {
	t.Parallel()
	g := newStateRig(t, t.TempDir(), redRules)
	defer func() { _ = g.db.Close() }()
	other := g.pool
	guard := &staleGuard{Guard: g.db}
	guard.meanwhile = func() {
		g.queue(ended(2, 2, "failed"))
		other.WorkOff(context.Background(), time.Minute)
	}
	g.pool = g.replica(g.db, guard)
	g.queue(ended(1, 1, "failed"))
	g.work()
	if got := g.receiver.texts(); !slices.Equal(got, []string{"2 red"}) {
		t.Errorf("sent %q, want the turn by the newer pipeline once", got)
	}
	if s := g.outcome(1).States[0]; !s.Late || s.Turn != "" {
		t.Errorf("the older pipeline: %+v", s)
	}
}

// TestStateThatCannotBeRead: a store that fails loses no turn.
func TestStateThatCannotBeRead(t *testing.T) {
	t.Parallel()
	g := newStateRig(t, t.TempDir(), redRules)
	defer func() { _ = g.db.Close() }()
	failing := &failingGuard{Guard: g.db, left: 2}
	g.pool = g.replica(g.db, failing)
	g.queue(ended(1, 1, "failed"))
	g.work()
	if got := g.receiver.texts(); failing.left != 0 || !slices.Equal(got, []string{"1 red"}) {
		t.Errorf("sent %q", got)
	}
}

type failingGuard struct {
	notify.Guard
	left int
}

func (f *failingGuard) Get(ctx context.Context, key string) ([]byte, error) {
	if f.left > 0 {
		f.left--
		return nil, errors.New("the store is away")
	}
	return f.Guard.Get(ctx, key)
}

func (*recorder) Message(_ context.Context, o event.Outcome, n event.Notice) (id string, begun bool, err error) {
	return o.ID + n.Subject, false, nil
}

// slowLog is a GitLab that answers a request for a job log when it is released.
type slowLog struct {
	expression.Facts
	asked, release chan struct{}
}

func (s *slowLog) Log(context.Context, event.Event) (string, error) {
	close(s.asked)
	<-s.release
	return "boom", nil
}

// TestASlowTextOfAState: while a job log is read for the text of a state's turn, the other
// outcomes of the state wait in the queue, and those of other refs do not wait.
func TestASlowTextOfAState(t *testing.T) {
	t.Parallel()
	g := newStateRig(t, t.TempDir(), `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: red, on: job, notify: [{state: job.status == "failed", text: "{{ pipeline.id }} red {{ job.id == 1 ? log_excerpt() : '' }}", resolved: "{{ pipeline.id }} green"}]}
`)
	slow := &slowLog{asked: make(chan struct{}), release: make(chan struct{})}
	g.facts = slow
	work := func() {
		for {
			leases, err := g.db.Lease(t.Context(), 1, worker.Visibility)
			if err != nil {
				t.Error(err)
			}
			if len(leases) == 0 {
				return
			}
			g.pool.Work(t.Context(), leases[0])
		}
	}
	g.queue(ofJob(1, 1, "rspec", 1, "failed"))
	var workers sync.WaitGroup
	workers.Go(work)
	<-slow.asked
	g.queue(ofJob(2, 2, "rspec", 2, "success"))
	g.queue(with(ofJob(3, 3, "rspec", 3, "failed"), func(e *event.Event) { e.Pipeline.Ref = "other" }))
	workers.Go(work)
	await.Until(t, "the other ref is told of", func() bool { return slices.Equal(g.receiver.texts(), []string{"3 red "}) })
	close(slow.release)
	workers.Wait()
	g.work()
	if got := g.receiver.texts(); !slices.Equal(got, []string{"3 red ", "1 red boom", "2 green"}) {
		t.Errorf("sent %q", got)
	}
}
