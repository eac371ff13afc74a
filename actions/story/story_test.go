package story_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
)

// known is what the store has: it counts what is read.
type known struct {
	journal    []store.Entry // newest first
	read       int
	dead       []store.DeadRecord
	items      [][]byte // of events, newest first
	subjects   []string
	deliveries []event.Delivery
	queued     bool
	record     *store.QueuedRecord
	pauses     []event.Pause
	err        error
}

func (k *known) Entries(_ context.Context, cursor string, n int) ([]store.Entry, string, error) {
	from := 0
	_, _ = fmt.Sscan(cursor, &from)
	to := min(from+n, len(k.journal))
	k.read += to - from
	next := ""
	if to < len(k.journal) {
		next = strconv.Itoa(to)
	}
	return k.journal[from:to], next, k.err
}

func (k *known) Dead(context.Context, string, int) ([]store.DeadRecord, string, error) {
	return k.dead, "", k.err
}
func (k *known) Queued(context.Context, ...string) (bool, error) { return k.queued, k.err }
func (k *known) Find(_ context.Context, id string) (*store.QueuedRecord, *store.DeadRecord, error) {
	if k.record == nil || k.record.ID != id {
		return nil, nil, k.err
	}
	return k.record, nil, k.err
}

func (k *known) List(context.Context) ([]event.Pause, error) { return k.pauses, k.err }
func (k *known) Each(_ context.Context, visit func(string, []byte) bool) error {
	for i, item := range k.items {
		if !visit(k.subjects[i], item) {
			break
		}
	}
	return k.err
}

func (k *known) Deliveries(_ context.Context, match func(*event.Delivery) bool, since time.Time, _ string, limit int) (list []event.Delivery, _ string, err error) {
	for i := range k.deliveries {
		if match(&k.deliveries[i]) && !k.deliveries[i].At.Before(since) && len(list) < limit {
			list = append(list, k.deliveries[i])
		}
	}
	return list, "", k.err
}

// fixture is a GitLab with a job that failed, and what is known of it.
type fixture struct {
	*testing.T
	known
	gitlab  *gitlabtest.Server
	job     gitlabtest.Job
	now     time.Time
	builder story.Builder
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return f.now }
	f.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: clock})
	project := f.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := f.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	f.gitlab.Finish(f.gitlab.Latest(pipeline.ID, "rspec").ID, "failed", "script_failure")
	f.job = f.gitlab.Latest(pipeline.ID, "rspec")
	client, err := gitlab.New(gitlab.Config{BaseURL: f.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: clock, Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte("version: 1\nrules: [{name: r, on: job, if: 'job.status == \"failed\"', actions: [retry]}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	f.builder = story.Builder{
		GitLab: client, Store: &f.known, Evaluations: &f.known, Deliveries: &f.known, Pauses: &f.known, Now: clock,
		Rules: func() *rules.Rules { return loaded }, Facts: func() expression.Facts { return nil },
	}
	return f
}

func (f *fixture) page() string {
	return fmt.Sprintf("%s/platform/shop/-/jobs/%d", f.gitlab.URL(), f.job.ID)
}

func (f *fixture) build() story.Story {
	f.Helper()
	s, err := f.builder.Build(f.Context(), f.page(), event.English)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// outcome returns an outcome about the job.
func (f *fixture) outcome(result string) event.Outcome {
	o := event.Outcome{Result: result, At: f.now}
	o.ID, o.Rule, o.Action.Verb, o.DecidedAt = "d", "r", event.VerbRetry, f.now
	o.Meta.Kind = event.KindJob
	o.Meta.Instance, o.Pipeline.ID, o.Job.ID, o.Job.Name = f.gitlab.URL(), f.job.PipelineID, f.job.ID, "rspec"
	return o
}

// note adds an outcome to the journal, of that age, so many times.
func (f *fixture) note(age time.Duration, o event.Outcome, times int) {
	f.Helper()
	body, err := json.Marshal(o)
	if err != nil {
		f.Fatal(err)
	}
	for range times {
		f.journal = append(f.journal, store.Entry{ID: o.ID, At: f.now.Add(-age), Body: body})
	}
}

// TestJournalIsSearched: from the newest entry to when the job was made, and no farther
// than is said.
func TestJournalIsSearched(t *testing.T) {
	t.Parallel()
	other := func(f *fixture) event.Outcome {
		o := f.outcome(event.ResultDone)
		o.Pipeline.ID, o.Job.ID = 7, 8
		return o
	}
	t.Run("an old entry is not read", func(t *testing.T) {
		f := newFixture(t)
		f.note(0, f.outcome(event.ResultSkipped), 1)
		f.note(time.Hour, other(f), 5000) // before the job was made
		if s := f.build(); s.Verdict != story.Skipped || len(s.Problems) > 0 || f.read > 1000 {
			t.Errorf("the answer is %s after %d entries, problems %q", s.Verdict, f.read, s.Problems)
		}
	})
	t.Run("too many", func(t *testing.T) {
		f := newFixture(t)
		f.note(0, other(f), 30_000)
		f.note(0, f.outcome(event.ResultSkipped), 1)
		if s := f.build(); s.Verdict != story.NoEvent || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "only the last 20000, since 2026-11-30T12:00:00Z, were searched") {
			t.Errorf("the answer is %s, problems %q", s.Verdict, s.Problems)
		}
	})
	t.Run("of another GitLab", func(t *testing.T) {
		f := newFixture(t)
		o := f.outcome(event.ResultDone)
		o.Meta.Instance = "https://another.example.com"
		f.note(0, o, 1)
		if s := f.build(); s.Verdict != story.NoEvent {
			t.Errorf("the answer is %s, %s", s.Verdict, s.Answer)
		}
	})
	t.Run("what is unreadable is passed over", func(t *testing.T) {
		f := newFixture(t)
		f.journal = append(f.journal, store.Entry{ID: "x", At: f.now, Body: fmt.Appendf(nil, `{"id":%d`, f.job.PipelineID)})
		f.note(0, f.outcome(event.ResultGaveUp), 1)
		if s := f.build(); s.Verdict != story.GaveUp {
			t.Errorf("the answer is %s, %s", s.Verdict, s.Answer)
		}
	})
}

// TestDeferralsOfTheQueue: the journal gets a deferral once for each reason; how often
// there was one, and when it is checked again, is in the queue's record.
func TestDeferralsOfTheQueue(t *testing.T) {
	t.Parallel()
	paused := func(f *fixture, times int) event.Outcome {
		o := f.outcome(event.ResultDeferred)
		o.Key, o.Reason = "k", "paused"
		o.Deferrals = []event.Deferral{{Reason: "paused", Since: f.now, Until: f.now.Add(time.Duration(times) * time.Minute), Times: times}}
		return o
	}
	for _, c := range []struct {
		name      string
		id        string // of the record
		decision  string // that it has
		leased    bool
		due       time.Duration
		item, has string
	}{
		{"it waits", "decision:k#1", "d", false, 4 * time.Minute, "deferred 4 times: paused; checked again at 2026-11-30 12:04:00 UTC", "which waits: paused; checked again at 2026-11-30 12:04:00 UTC"},
		{"GitLab failed since", "decision:k#1", "d", false, 5 * time.Minute, "deferred 4 times: paused; checked again at 2026-11-30 12:05:00 UTC", "which waits: paused; checked again at 2026-11-30 12:05:00 UTC"},
		{"it is tried now", "decision:k#1", "d", true, 4 * time.Minute, "deferred 4 times: paused; checked again at 2026-11-30 12:04:00 UTC", "which waits: paused"},
		{"the record is another one's", "decision:k#1", "e", false, time.Hour, "deferred: paused; checked again at 2026-11-30 12:01:00 UTC", "which waits: paused"},
		{"it has just got an outcome", "decision:k", "d", false, time.Hour, "deferred: paused; checked again at 2026-11-30 12:01:00 UTC", "which waits: paused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			entry, err := json.Marshal(struct {
				event.Outcome
				Try int `json:"try"`
			}{paused(f, 1), 1})
			if err != nil {
				t.Fatal(err)
			}
			f.journal = []store.Entry{{ID: "d", At: f.now, Body: entry}}
			d := paused(f, 4).Decision
			d.ID = c.decision
			body, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			f.record = &store.QueuedRecord{ID: c.id, Kind: event.RecordDecision, Body: body, Due: f.now.Add(c.due)}
			if c.leased {
				f.record.Expires = f.now.Add(time.Minute)
			}
			s := f.build()
			if s.Verdict != story.Deferred || !strings.HasSuffix(s.Answer, c.has) {
				t.Errorf("the answer is %s, %q, want %q", s.Verdict, s.Answer, c.has)
			}
			var items []string
			for _, item := range s.Timeline {
				if item.Kind == story.KindDeferral {
					items = append(items, item.Text)
				}
			}
			if len(items) != 1 || items[0] != c.item {
				t.Errorf("the deferrals are %q, want %q", items, c.item)
			}
		})
	}
}

// TestStoreIsAway: what GitLab says is told, and what is missing.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.err = errors.New("no answer")
	s := f.build()
	if s.Job.Status != "failed" || len(s.Timeline) != 1 || len(s.Problems) != 4 || !strings.Contains(strings.Join(s.Problems, "\n"), "the decisions are missing or incomplete: no answer") {
		t.Errorf("%+v", s)
	}
}

// TestHowFarAnEventCame: what is known of its deliveries.
func TestHowFarAnEventCame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		arrange func(f *fixture, d *event.Delivery)
		want    story.Answer
	}{
		{"it waits in the queue", func(f *fixture, _ *event.Delivery) { f.queued = true }, story.Queued},
		{"what was made of it is not kept", func(*fixture, *event.Delivery) {}, story.Forgotten},
		{"a duplicate of such", func(_ *fixture, d *event.Delivery) { d.Result = event.DeliveryDuplicate }, story.Forgotten},
		{"the store failed", func(_ *fixture, d *event.Delivery) { d.Result, d.Code = event.DeliveryUnavailable, 500 }, story.Refused},
		{"anybody can say so", func(_ *fixture, d *event.Delivery) { d.Authenticated = false }, story.NoEvent},
		{"another job's", func(_ *fixture, d *event.Delivery) { d.Job++ }, story.NoEvent},
		{"it was buried", func(f *fixture, _ *event.Delivery) {
			body, _ := json.Marshal(f.outcome("").Event)
			f.dead = []store.DeadRecord{{ID: "event:x", Kind: event.RecordEvent, Reason: "panic", At: f.now, Body: body}}
		}, story.Dead},
		{"it was dropped", func(f *fixture, _ *event.Delivery) {
			f.keep(evaluated.Result{At: f.now, Dropped: "it is from another GitLab"})
		}, story.Dropped},
		{"it was evaluated by other rules", func(f *fixture, _ *event.Delivery) {
			f.keep(evaluated.Result{At: f.now, Rules: "other", Trace: rules.Trace{StoppedBy: "s"}})
		}, story.Stopped},
		{"it was evaluated last on the replica whose log is read last", func(f *fixture, _ *event.Delivery) {
			f.keep(evaluated.Result{At: f.now.Add(-time.Minute), Rules: "other", Waits: "GitLab did not answer"})
			f.keep(evaluated.Result{At: f.now, Rules: "other", Trace: rules.Trace{StoppedBy: "s"}})
		}, story.Stopped},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			d := event.Delivery{At: f.now, Result: event.DeliveryStored, Code: 202, Authenticated: true, Event: "x", Kind: event.KindJob, Pipeline: f.job.PipelineID, Job: f.job.ID, Status: "failed"}
			c.arrange(f, &d)
			f.deliveries = []event.Delivery{d}
			if s := f.build(); s.Verdict != c.want || !strings.HasPrefix(s.Answer, "not retried") {
				t.Errorf("the answer is %s, %q, want %s", s.Verdict, s.Answer, c.want)
			}
		})
	}
}

// keep adds what the rules made of the job's event.
func (f *fixture) keep(r evaluated.Result) {
	f.Helper()
	record := event.Record{Event: f.outcome("").Event}
	record.Meta.Kind, record.Meta.ID, record.Job.Status = event.KindJob, "x", "failed"
	body, err := json.Marshal(record)
	if err != nil {
		f.Fatal(err)
	}
	parts, err := evaluated.Item(r, record, body)
	if err != nil {
		f.Fatal(err)
	}
	var item []byte
	for _, part := range parts {
		item = append(item, part...)
	}
	f.items, f.subjects = append(f.items, item), append(f.subjects, evaluated.Subject(f.job.PipelineID))
}

// TestWaitsAsThingsAre: a decision that waits is told with what will stop it.
func TestWaitsAsThingsAre(t *testing.T) {
	t.Parallel()
	hour := func(f *fixture) time.Time { return f.now.Add(time.Hour) }
	for _, c := range []struct {
		name    string
		arrange func(f *fixture, o *event.Outcome)
		want    story.Answer
		answer  string
	}{
		{"nothing stops it", func(*fixture, *event.Outcome) {}, story.Waiting, `not retried yet: rule "r" decided to retry it, due at 2026-11-30 12:30:00 UTC`},
		{"a pause of the project", func(f *fixture, _ *event.Outcome) {
			f.pauses = []event.Pause{{Project: "mobile/*"}, {Project: "platform/*", By: "ann", Reason: "the cluster\nmoves", Until: hour(f)}}
		}, story.Waiting, "due at 2026-11-30 12:30:00 UTC; paused (project:platform/*) by ann: the cluster moves, until 2026-11-30 13:00:00 UTC"},
		{"a pause without an end", func(f *fixture, _ *event.Outcome) { f.pauses = []event.Pause{{By: "ann"}} }, story.Waiting, "12:30:00 UTC; paused (all) by ann, until somebody resumes"},
		{"a pause that ends before", func(f *fixture, _ *event.Outcome) { f.pauses = []event.Pause{{Until: f.now.Add(time.Minute)}} }, story.Waiting, "12:30:00 UTC"},
		{"a pause that deferred it", func(f *fixture, o *event.Outcome) {
			f.pauses = []event.Pause{{By: "ann"}}
			o.Result, o.Deferrals = event.ResultDeferred, []event.Deferral{{Reason: f.pauses[0].String(), Since: f.now, Until: f.now, Times: 1}}
		}, story.Deferred, "which waits: paused (all) by ann"},
		{"a dry run", func(_ *fixture, o *event.Outcome) { o.DryRun = true }, story.DryRun, `not retried, and will not be: dry run; rule "r" would retry it at 2026-11-30 12:30:00 UTC`},
		{"its rule is gone", func(_ *fixture, o *event.Outcome) { o.Rule = "old" }, story.Waiting, `12:30:00 UTC; it will be skipped then, because rule "old" is not in force any more`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			o := f.outcome("")
			o.Project.Path = "platform/shop"
			c.arrange(f, &o)
			body, err := json.Marshal(struct {
				event.Outcome
				Due time.Time `json:"due"`
			}{o, f.now.Add(30 * time.Minute)})
			if err != nil {
				t.Fatal(err)
			}
			f.journal = []store.Entry{{ID: "d", At: f.now, Body: body}}
			if s := f.build(); s.Verdict != c.want || !strings.HasSuffix(s.Answer, c.answer) {
				t.Errorf("the answer is %s, %q, want %s, %q", s.Verdict, s.Answer, c.want, c.answer)
			}
		})
	}
}

// TestNobodyWasNotified: and why not.
func TestNobodyWasNotified(t *testing.T) {
	t.Parallel()
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte("version: 1\nrules: [{name: r, on: job, if: 'job.status == \"failed\"', notify: [{channel: ci}]}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		receives bool
		id       string // of a record in the queue
		record   string
		want     string
	}{
		{"no Slack token", false, "", "", "nobody was notified: there is no Slack token"},
		{"there was none then", true, "", "", "nobody was notified: its notification is neither recorded nor in the queue"},
		{"texts can't be rendered yet", true, "outcome:d", `{"waits":{"for":"receiver","reason":"busy"}}`, "its notification has not been sent yet: busy; it is tried again at 2026-11-30 12:01:00 UTC"},
		{"Slack fails", true, "notice:d:slack:#ci", `{"waits":{"for":"receiver","reason":"503"}}`, "its notification to #ci in Slack has not been sent yet: 503; it is tried again at 2026-11-30 12:01:00 UTC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.builder.Rules, f.builder.Receives = func() *rules.Rules { return loaded }, c.receives
			o := f.outcome(event.ResultDone)
			o.Action.Verb = event.VerbNotify
			if strings.HasPrefix(c.id, "notice:") {
				o.Notifications = []event.Notification{{Address: event.Address{Receiver: "slack", Channel: "#ci"}, Result: event.NotificationWaiting}}
			}
			f.note(0, o, 1)
			if c.record != "" {
				f.record = &store.QueuedRecord{ID: c.id, Kind: event.RecordOutcome, Body: []byte(c.record), Due: f.now.Add(time.Minute)}
			}
			if s := f.build(); len(s.Notes) != 1 || !strings.HasPrefix(s.Notes[0], `rule "r": `+c.want) {
				t.Errorf("the notes are %q, want %q", s.Notes, c.want)
			}
		})
	}
}
