package slack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	slackapi "github.com/slack-go/slack"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

var _ slack.State = store.Guard(nil)

const token = "xoxb-1234-very-secret"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a State. Its calls can be made to fail or to kill the caller.
type memory struct {
	clock *storetest.Clock

	mu       sync.Mutex
	values   map[string][]byte
	claims   map[string]claim
	buckets  map[string]int64
	paced    bool          // else a bucket is never empty
	released chan struct{} // closed at the next Release
	calls    int
	trouble  func(call int, effect func()) error // of the n-th call, from 1; nil: none
}

type claim struct {
	owner string
	until time.Time
}

var _ slack.State = (*memory)(nil)

func (s *memory) do(effect func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.trouble != nil {
		return s.trouble(s.calls, effect)
	}
	effect()
	return nil
}

func (s *memory) Get(_ context.Context, key string) (value []byte, err error) {
	err = s.do(func() { value = s.values[key] })
	return value, err
}

func (s *memory) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ttl != 30*24*time.Hour {
		return fmt.Errorf("ttl %s", ttl)
	}
	return s.do(func() { s.values[key] = value })
}

func (s *memory) Claim(_ context.Context, key, owner string, ttl time.Duration) (held bool, err error) {
	err = s.do(func() {
		if c := s.claims[key]; c.owner == owner || !c.until.After(s.clock.Now()) {
			s.claims[key] = claim{owner, s.clock.Now().Add(ttl)}
			held = true
		}
	})
	return held, err
}

func (s *memory) Release(_ context.Context, key, owner string) error {
	return s.do(func() {
		if s.claims[key].owner == owner {
			delete(s.claims, key)
			close(s.released)
			s.released = make(chan struct{})
		}
	})
}

func (s *memory) Take(_ context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	if !s.paced {
		return len(buckets), 0, nil
	}
	err = s.do(func() {
		for _, b := range buckets {
			if s.buckets[b.Key], wait = b.Rate.Take(s.clock.Now().UnixNano(), s.buckets[b.Key]); wait > 0 {
				return
			}
			taken++
		}
	})
	return taken, wait, err
}

// nextRelease is closed when a claim is next released.
func (s *memory) nextRelease() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released
}

// fixture is a simulated Slack with a Notifier as its client.
type fixture struct {
	*slacktest.Server
	network  http.Transport
	clock    *storetest.Clock
	state    *memory
	notifier *slack.Notifier
	client   *http.Client
	sent     func(method string) error // called when Slack has answered; an error takes the place of the answer
	log      bytes.Buffer
}

// RoundTrip calls w.sent between Slack's answer and its reader.
func (w *fixture) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.network.RoundTrip(r)
	if err != nil || w.sent == nil {
		return response, err
	}
	answer, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close(), w.sent(path.Base(r.URL.Path))); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(answer))
	return response, nil
}

type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

func newFixture(t testingT) *fixture {
	t.Helper()
	return newFixtureOn(t, slacktest.Options{})
}

// newFixtureOn is newFixture with a Slack of the given kind.
func newFixtureOn(t testingT, o slacktest.Options) *fixture {
	t.Helper()
	return newFixtureWith(t, o, slack.Config{})
}

// newFixtureWith is newFixtureOn with a config that lacks what every test needs.
func newFixtureWith(t testingT, o slacktest.Options, config slack.Config) *fixture {
	t.Helper()
	c := storetest.NewClock()
	o.Now, o.Token = c.Now, token
	server, err := slacktest.New(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	w := &fixture{
		Server: server, clock: c,
		state: &memory{clock: c, values: map[string][]byte{}, claims: map[string]claim{}, buckets: map[string]int64{}, released: make(chan struct{})},
	}
	w.client = &http.Client{Transport: w}
	t.Cleanup(func() {
		w.network.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Fatalf("%v", err)
		}
	})
	config.Token, config.APIURL, config.HTTPClient, config.State, config.Now = token, server.URL(), w.client, w.state, c.Now
	config.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	w.notifier, err = slack.New(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return w
}

// outcome is what came of a retry of the job in the usual pipeline.
func outcome(job, result string) event.Outcome {
	o := event.Outcome{Result: result}
	o.Meta = event.Meta{Kind: event.KindJob, ID: "event-1", Instance: "https://gitlab.example.com"}
	o.Project = event.Project{ID: 7, Path: "platform/api", URL: "https://gitlab.example.com/platform/api"}
	o.Pipeline = event.Pipeline{
		ID: 4711, Ref: "main", SHA: "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d", Status: "running",
		URL: "https://gitlab.example.com/platform/api/-/pipelines/4711",
	}
	o.Job = event.Job{
		ID: 900, Name: job, Status: "failed", FailureReason: "runner_system_failure", Attempt: 1,
		URL: "https://gitlab.example.com/platform/api/-/jobs/900", Runner: event.Runner{ID: 3, Description: "docker-1"},
	}
	o.Commit = event.Commit{SHA: o.Pipeline.SHA, Title: "Cache the dependencies"}
	o.ID = "retry:https://gitlab.example.com:7:" + job
	o.Rule = "retry-infrastructure"
	o.DecidedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o.At = o.DecidedAt
	o.Action.Verb = event.VerbRetry
	return o
}

func notify(t *testing.T, w *fixture, o event.Outcome, text string) {
	t.Helper()
	if err := w.notifier.Notify(t.Context(), o, to("#ci", text)); err != nil {
		t.Fatal(err)
	}
}

// announcing makes an announcement in #ci.
func announcing(w *fixture, key, text string) func() error {
	return func() error { return w.notifier.Announce(context.Background(), key, "#ci", text) }
}

// shown is what a person sees in the channel, replies indented.
func shown(w *fixture, channel string) string {
	var b strings.Builder
	for _, m := range w.Messages(channel) {
		indent := ""
		if m.ThreadTS != "" {
			indent = "    "
		}
		for l := range strings.Lines(m.Plain()) {
			b.WriteString(indent + strings.TrimSpace(l) + "\n")
		}
	}
	return b.String()
}

func wantShown(t *testing.T, w *fixture, channel, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), shown(w, channel)); diff != "" {
		t.Errorf("%s shows (-want +got):\n%s", channel, diff)
	}
}

const top = `
Pipeline #4711 (https://gitlab.example.com/platform/api/-/pipelines/4711) running · platform/api
` + "`main` · `1a2b3c4d` · Cache the dependencies\n"

// facts are those of an outcome's job.
const facts = " · failed · runner docker-1"

func TestNotifyMakesOneMessageOfAPipeline(t *testing.T) {
	w := newFixture(t)

	notify(t, w, outcome("unit", event.ResultDone), "retried unit")
	wantShown(t, w, "#ci", top+"🔁 retried unit"+facts+"\n")

	notify(t, w, outcome("deploy", event.ResultFailed), "could not retry deploy")
	wantShown(t, w, "#ci", top+"🔁 retried unit"+facts+"\n❌ could not retry deploy"+facts+`
    ❌ could not retry deploy
    Rule `+"`retry-infrastructure`"+` · runner_system_failure · failed · runner docker-1
`)

	last := outcome("unit", event.ResultGaveUp)
	last.Job.Attempt, last.Pipeline.Status, last.Reason = 3, "failed", "3 of 3 runs used"
	notify(t, w, last, "gave up on unit")
	wantShown(t, w, "#ci", strings.Replace(top, "running", "failed · gave up", 1)+"🚨 gave up on unit · failed · attempt 3 · runner docker-1\n❌ could not retry deploy"+facts+`
    ❌ could not retry deploy
    Rule `+"`retry-infrastructure`"+` · runner_system_failure · failed · runner docker-1
    🚨 gave up on unit
    Rule `+"`retry-infrastructure`"+` · runner_system_failure · failed · attempt 3 · runner docker-1 · 3 of 3 runs used
`)

	if got := len(w.Updates()); got != 2 {
		t.Errorf("%d edits, want 2", got)
	}
	for _, m := range append(w.Posts(), w.Updates()...) {
		if m.Unfurl || m.Parse != "none" {
			t.Errorf("message %q: links unfold %v, parse %q", m.Text, m.Unfurl, m.Parse)
		}
	}
	if diff := cmp.Diff("platform/api main: retried unit"+facts, w.Posts()[0].Text); diff != "" {
		t.Errorf("the notification (-want +got):\n%s", diff)
	}
}

func TestNotifyAgainChangesNothing(t *testing.T) {
	w := newFixture(t)
	for range 2 {
		notify(t, w, outcome("unit", event.ResultDone), "")
		notify(t, w, outcome("deploy", event.ResultDone), "")
	}
	if posts, updates := len(w.Posts()), len(w.Updates()); posts != 2 || updates != 1 {
		t.Errorf("%d posts and %d edits, want 2 and 1", posts, updates)
	}
}

func TestNotifyShowsTheNewestLines(t *testing.T) {
	w := newFixture(t)
	for i := range 12 {
		notify(t, w, outcome(fmt.Sprintf("job-%d", i), event.ResultDone), fmt.Sprintf("line %d", i))
	}
	root := w.Messages("#ci")[0].Plain()
	lines := strings.Split(root, "\n")
	if len(lines) != 13 || lines[2] != "🔁 line 2"+facts || lines[11] != "🔁 line 11"+facts || lines[12] != "+2 more in the thread" {
		t.Errorf("12 lines are shown as:\n%s", root)
	}
	// A line that was pushed out comes back as the newest, and is counted once.
	notify(t, w, outcome("job-0", event.ResultGaveUp), "line 0 anew")
	root = w.Messages("#ci")[0].Plain()
	lines = strings.Split(root, "\n")
	if lines[2] != "🔁 line 3"+facts || lines[11] != "🚨 line 0 anew"+facts || lines[12] != "+2 more in the thread" {
		t.Errorf("a line that came back is shown as:\n%s", root)
	}
}

func TestNotifyShowsOutcomesThatNeedAPerson(t *testing.T) {
	w := newFixture(t)
	for i, result := range []string{event.ResultGaveUp, event.ResultDone, event.ResultFailed} {
		notify(t, w, outcome(fmt.Sprintf("first-%d", i), result), fmt.Sprintf("first %d", i))
	}
	for i := range 12 {
		notify(t, w, outcome(fmt.Sprintf("job-%d", i), event.ResultDone), fmt.Sprintf("line %d", i))
	}
	lines := strings.Split(w.Messages("#ci")[0].Plain(), "\n")
	want := []string{"🚨 first 0", "❌ first 2", "🔁 line 4", "🔁 line 5", "🔁 line 6", "🔁 line 7", "🔁 line 8", "🔁 line 9", "🔁 line 10", "🔁 line 11", "+5 more in the thread"}
	for i := range want[:10] {
		want[i] += facts
	}
	if diff := cmp.Diff(want, lines[2:]); diff != "" {
		t.Errorf("the lines (-want +got):\n%s", diff)
	}
}

// TestNotifyShowsTheLatestStateOfAJob: a job that one rule retried, then
// another, and that passed then, has one line; what a rule posts without
// acting has its own.
func TestNotifyShowsTheLatestStateOfAJob(t *testing.T) {
	at := func(o event.Outcome, id, rule string, minute int) event.Outcome {
		o.ID, o.Rule, o.At = id, rule, o.DecidedAt.Add(time.Duration(minute)*time.Minute)
		return o
	}
	asked := at(outcome("unit", event.ResultDone), "0", "ask-the-team", 0)
	asked.Action.Verb = event.VerbNotify
	deferred := at(outcome("unit", event.ResultDeferred), "1:deferred", "retry-infrastructure", 1)
	first := at(outcome("unit", event.ResultDone), "1", "retry-infrastructure", 2)
	second := at(outcome("unit", event.ResultDone), "2", "retry-full-disk", 3)
	passed := at(outcome("unit", event.ResultRecovered), "2:recovered", "retry-full-disk", 4)
	passed.Pipeline.Status = "success"

	w := newFixture(t)
	steps := []struct {
		outcome event.Outcome
		text    string
		status  string
		line    string
	}{
		{deferred, "unit waits", "running", "⏳ unit waits" + facts + "\n🔔 asked" + facts},
		{first, "unit retried", "running", "🔁 unit retried" + facts + "\n🔔 asked" + facts},
		{passed, "unit passed", "success", "✅ unit passed" + facts + "\n🔔 asked" + facts},
		{second, "unit retried once more, notified late", "success", "✅ unit passed" + facts + "\n🔔 asked" + facts},
	}
	notify(t, w, deferred, "unit waits")
	notify(t, w, asked, "asked")
	for i, step := range steps {
		notify(t, w, step.outcome, step.text)
		want := strings.Replace(strings.TrimPrefix(top, "\n"), "running", step.status, 1) + step.line
		if diff := cmp.Diff(want, w.Messages("#ci")[0].Plain()); diff != "" {
			t.Errorf("after step %d (-want +got):\n%s", i, diff)
		}
	}
	if n := len(w.Messages("#ci")); n != 5 {
		t.Errorf("%d posts, want the message and a reply for each of the other 4 outcomes", n)
	}
}

func TestNotifyKeepsSubjectsApart(t *testing.T) {
	base := outcome("unit", event.ResultDone)
	tests := []struct {
		name     string
		change   func(*event.Outcome)
		channel  string
		messages int // in all channels, after base in #ci and the changed one
	}{
		{"same pipeline, another job", func(o *event.Outcome) { o.Job.Name = "deploy" }, "#ci", 1},
		{"channel without #", func(*event.Outcome) {}, "ci", 1},
		{"another pipeline", func(o *event.Outcome) { o.Pipeline.ID++ }, "#ci", 2},
		{"another project", func(o *event.Outcome) { o.Project.ID++ }, "#ci", 2},
		{"another GitLab", func(o *event.Outcome) { o.Meta.Instance = "https://jihulab.com" }, "#ci", 2},
		{"another channel", func(*event.Outcome) {}, "#deploys", 2},
		{"a job without pipeline", func(o *event.Outcome) { o.Pipeline = event.Pipeline{} }, "#ci", 2},
		{"a job name without pipeline", func(o *event.Outcome) { o.Pipeline, o.Job.ID = event.Pipeline{}, 0 }, "#ci", 2},
		{"neither job nor pipeline", func(o *event.Outcome) { o.Pipeline, o.Job = event.Pipeline{}, event.Job{} }, "#ci", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newFixture(t)
			notify(t, w, base, "")
			for _, id := range []string{"another", "one more"} { // the second finds the first's message
				o := base
				o.ID = id
				test.change(&o)
				if err := w.notifier.Notify(t.Context(), o, to(test.channel, "")); err != nil {
					t.Fatal(err)
				}
			}
			roots := 0
			for _, m := range w.Posts() {
				if m.ThreadTS == "" {
					roots++
				}
			}
			if roots != test.messages || len(w.Posts()) != 3 {
				t.Errorf("%d messages, %d replies; want %d messages of 3 posts", roots, len(w.Posts())-roots, test.messages)
			}
		})
	}
}

func TestNotifyTakesChannelIDs(t *testing.T) {
	w := newFixture(t)
	id := w.Channel("#ci")
	for _, job := range []string{"unit", "deploy"} {
		if err := w.notifier.Notify(t.Context(), outcome(job, event.ResultDone), to(id, "")); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(w.Messages("#ci")); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
}

func TestNotifyRejectsInvalidInput(t *testing.T) {
	nameless := outcome("unit", event.ResultDone)
	nameless.ID = ""
	tests := []struct {
		name    string
		outcome event.Outcome
		channel string
		want    string
	}{
		{"no channel", outcome("unit", event.ResultDone), "", `slack: notify: invalid_channel: "" is not one channel: give a name such as #ci, or a channel id`},
		{"only #", outcome("unit", event.ResultDone), "#", `slack: notify: invalid_channel: "#" is not one channel: give a name such as #ci, or a channel id`},
		{"two channels", outcome("unit", event.ResultDone), "#ci, #cd", `slack: notify: invalid_channel: "#ci, #cd" is not one channel: give a name such as #ci, or a channel id`},
		{"no id", nameless, "#ci", "slack: notify: invalid_outcome: the outcome has no id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newFixture(t)
			err := w.notifier.Notify(t.Context(), test.outcome, to(test.channel, ""))
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if again(t, err) != 0 {
				t.Error("it is tried again")
			}
			if len(w.Posts()) != 0 {
				t.Error("something was posted")
			}
		})
	}
}

// again gives how long to wait before trying again, 0 for never.
func again(t testingT, err error) time.Duration {
	t.Helper()
	e, ok := errors.AsType[*slack.Error](err)
	if !ok {
		t.Fatalf("error %v is no *slack.Error", err)
	}
	if strings.Contains(e.Error(), "very-secret") {
		t.Fatalf("the token is in the error: %v", e)
	}
	after, ok := e.Again()
	if !ok {
		return 0
	}
	if after <= 0 {
		t.Fatalf("error %v: again after %s", err, after)
	}
	return after
}

// persist repeats the notification until it succeeds, as the runner does.
func (w *fixture) persist(t testingT, o event.Outcome, channel string) {
	t.Helper()
	w.insist(t, func() error { return w.notifier.Notify(context.Background(), o, to(channel, "")) })
}

// insist says something until it is said.
func (w *fixture) insist(t testingT, say func() error) {
	t.Helper()
	const tries = 1000 // a claim that a dead process, or a store that failed, left lasts 30
	for range tries {
		err := say()
		if err == nil {
			return
		}
		after := again(t, err)
		if after == 0 {
			t.Fatalf("gave up: %v", err)
		}
		w.clock.Advance(after)
	}
	t.Fatalf("not notified in %d tries", tries)
}

// wantOnce checks that Slack has one message, and each of the outcomes once.
func (w *fixture) wantOnce(t testingT, channel string, outcomes ...event.Outcome) {
	t.Helper()
	want, got := map[string]int{}, map[string]int{}
	for _, o := range outcomes {
		want[o.ID+":"+o.Result] = 1
	}
	roots := 0
	for _, m := range w.Messages(channel) {
		got[fmt.Sprint(m.Metadata.EventPayload["id"])]++
		if m.ThreadTS == "" {
			roots++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || roots != 1 {
		t.Fatalf("%d messages that are no replies; how often each outcome was posted (-want +got):\n%s", roots, diff)
	}
}

// death is what a killed process panics with.
type death struct{}

// survive says whether f ran to its end.
func survive(f func()) (survived bool) {
	defer func() {
		if p := recover(); p != nil && p != any(death{}) {
			panic(p)
		}
	}()
	f()
	return true
}

// TestNotifyOutlivesKill kills the process before and after each step that the
// state sees, while it posts a first, a second and a third outcome, and lets
// another process go on.
func TestNotifyOutlivesKill(t *testing.T) {
	outcomes := []event.Outcome{outcome("unit", event.ResultDone), outcome("deploy", event.ResultFailed), outcome("unit", event.ResultGaveUp)}
	for _, afterEffect := range []bool{false, true} {
		for step := 1; ; step++ {
			w := newFixture(t)
			w.state.trouble = func(call int, effect func()) error {
				if call != step || afterEffect {
					effect()
				}
				if call == step {
					panic(death{})
				}
				return nil
			}
			killed := false
			for _, o := range outcomes {
				if !survive(func() { w.persist(t, o, "#ci") }) {
					killed = true
					w.persist(t, o, "#ci")
				}
			}
			if !killed {
				break // there is no such step
			}
			w.wantOnce(t, "#ci", outcomes...)
		}
	}
}

// TestNotifyOutlivesTrouble mixes outcomes, notified more than once and in any
// order, with a Slack and a store that fail in every way at any time.
func TestNotifyOutlivesTrouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newFixture(t)
		failing := rapid.SampledFrom([]string{"", "", "", "", "before", "after"})
		failures := 20
		w.state.trouble = func(_ int, effect func()) error {
			if failures > 0 {
				switch failing.Draw(t, "store fails") {
				case "before":
					failures--
					return errors.New("disk full")
				case "after":
					failures--
					effect()
					return errors.New("connection lost")
				}
			}
			effect()
			return nil
		}
		pool := []event.Outcome{
			outcome("unit", event.ResultDone), outcome("unit", event.ResultGaveUp),
			outcome("deploy", event.ResultFailed), outcome("deploy", event.ResultDone),
		}
		for _, o := range rapid.SliceOfN(rapid.SampledFrom(pool), 1, 6).Draw(t, "outcomes") {
			for range rapid.IntRange(0, 3).Draw(t, "faults") {
				w.Fail(slacktest.Fault{
					Method: rapid.SampledFrom([]string{"", "chat.postMessage", "chat.update", "conversations.replies"}).Draw(t, "method"),
					Skip:   rapid.IntRange(0, 2).Draw(t, "skip"), AfterEffect: rapid.Bool().Draw(t, "after effect"),
					Cut: rapid.Bool().Draw(t, "cut"), Status: http.StatusBadGateway,
				})
			}
			// A worker that dies, or is not called again, leaves its post behind.
			if rapid.Bool().Draw(t, "another tries first") {
				if err := w.notifier.Notify(context.Background(), o, to("#ci", "")); err != nil {
					w.clock.Advance(again(t, err))
				}
			}
			w.persist(t, o, "#ci")
			w.clock.Advance(time.Minute)
		}
		posted := map[string]event.Outcome{}
		for _, m := range w.Messages("#ci") {
			for _, o := range pool {
				if m.Metadata.EventPayload["id"] == o.ID+":"+o.Result {
					posted[o.ID+o.Result] = o
				}
			}
		}
		var all []event.Outcome
		for _, o := range posted {
			all = append(all, o)
		}
		w.wantOnce(t, "#ci", all...)
	})
}

func TestNotifySearchesForALostPost(t *testing.T) {
	first, second := outcome("unit", event.ResultDone), outcome("deploy", event.ResultDone)
	faults := map[string]slacktest.Fault{
		"cut before the effect": {Cut: true},
		"cut after the effect":  {Cut: true, AfterEffect: true},
		"502 before the effect": {Status: http.StatusBadGateway},
		"502 after the effect":  {Status: http.StatusBadGateway, AfterEffect: true},
		"internal_error after":  {Error: "internal_error", AfterEffect: true},
		"fatal_error before":    {Error: "fatal_error"},
		"half an answer after":  {Body: `{"ok": true, "chan`, AfterEffect: true},
		"an answer without ts":  {Body: `{}`, AfterEffect: true},
	}
	for name, fault := range faults {
		for place, skip := range map[string]int{"message": 0, "reply": 1} {
			t.Run(name+", "+place, func(t *testing.T) {
				w := newFixture(t)
				w.Channel("#ci") // the bot is in it
				fault.Method, fault.Skip = "chat.postMessage", skip
				w.Fail(fault)
				w.persist(t, first, "#ci")
				w.persist(t, second, "#ci")
				if n := w.Calls("conversations.history") + w.Calls("conversations.replies"); n == 0 {
					t.Error("nobody looked")
				}
				w.wantOnce(t, "#ci", first, second)
			})
		}
	}
}

// TestNotifySearchesABusyChannel: the lost posts are pages away.
func TestNotifySearchesABusyChannel(t *testing.T) {
	w := newFixture(t)
	other := slackapi.New(token, slackapi.OptionAPIURL(w.URL()), slackapi.OptionHTTPClient(w.client))
	chat := func(options ...slackapi.MsgOption) {
		for range 450 {
			if _, _, err := other.PostMessageContext(t.Context(), "#ci", append(options, slackapi.MsgOptionText("chat", false))...); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := outcome("unit", event.ResultDone), outcome("deploy", event.ResultDone)
	w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true, AfterEffect: true})
	w.clock.Advance(again(t, w.notifier.Notify(t.Context(), first, to("#ci", ""))))
	chat() // the history's newest messages come first
	w.persist(t, first, "#ci")

	chat(slackapi.MsgOptionTS(w.Posts()[0].TS)) // a thread's oldest messages come first
	w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true, AfterEffect: true})
	w.persist(t, second, "#ci")

	posted := map[any]int{}
	for _, m := range w.Messages("#ci") {
		posted[m.Metadata.EventPayload["id"]]++
	}
	want := map[any]int{nil: 900, first.ID + ":done": 1, second.ID + ":done": 1}
	if diff := cmp.Diff(want, posted); diff != "" {
		t.Errorf("how often each outcome was posted (-want +got):\n%s", diff)
	}
	if w.Calls("conversations.history") < 3 || w.Calls("conversations.replies") < 3 {
		t.Error("the posts were not pages away")
	}
}

func TestNotifyWaitsUntilALostPostMustHaveCome(t *testing.T) {
	w := newFixture(t)
	w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true})
	o := outcome("unit", event.ResultDone)
	if after := again(t, w.notifier.Notify(t.Context(), o, to("#ci", ""))); after < 30*time.Second {
		t.Errorf("again after %s", after)
	}
	w.clock.Advance(20 * time.Second)
	if after := again(t, w.notifier.Notify(t.Context(), o, to("#ci", ""))); after > 5*time.Second {
		t.Errorf("the message is still claimed, and tried again after %s", after)
	}
	if n := w.Calls("conversations.history"); n != 0 {
		t.Errorf("looked %d times too early", n)
	}
	w.clock.Advance(10 * time.Second)
	if err := w.notifier.Notify(t.Context(), o, to("#ci", "")); err != nil {
		t.Fatal(err)
	}
	w.wantOnce(t, "#ci", o)
}

// TestNotifyFindsAnothersPost: the process that posted the first outcome died;
// before anyone takes it up again, the second outcome comes.
func TestNotifyFindsAnothersPost(t *testing.T) {
	first, second := outcome("unit", event.ResultDone), outcome("deploy", event.ResultDone)
	for name, afterEffect := range map[string]bool{"posted": true, "not posted": false} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true, AfterEffect: afterEffect})
			w.clock.Advance(again(t, w.notifier.Notify(t.Context(), first, to("#ci", ""))))
			w.persist(t, second, "#ci")
			w.persist(t, first, "#ci")
			w.wantOnce(t, "#ci", first, second)
			if root := w.Messages("#ci")[0].Plain(); strings.Count(root, "🔁") != 2 {
				t.Errorf("the message lacks a line:\n%s", root)
			}
		})
	}
}

func TestNotifyWhenTheHistoryIsForbidden(t *testing.T) {
	for name, fault := range map[string]slacktest.Fault{
		"no history": {Method: "conversations.history", Error: "missing_scope", Needed: "channels:history", Times: 9},
		"unreadable": {Method: "conversations.history", Body: `{"ok": true, "messages": [{"ts": 5}]}`, Times: 9},
		"no list":    {Method: "users.conversations", Error: "missing_scope", Needed: "channels:read", Times: 9},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.Fail(fault)
			for _, pipeline := range []int64{1, 2} {
				w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true, AfterEffect: true})
				o := outcome("unit", event.ResultDone)
				o.Pipeline.ID = pipeline
				w.persist(t, o, "#ci")
			}
			if got := len(w.Posts()); got != 4 {
				t.Errorf("%d posts, want each of 2 twice", got)
			}
			if n := strings.Count(w.log.String(), "can't read the history"); n != 1 || !strings.Contains(w.log.String(), fault.Needed) {
				t.Errorf("it is said %d times that the history can't be read, want 1:\n%s", n, w.log.String())
			}
		})
	}
}

// TestNotifySearchesOnceTheTokenIsBack: a post of which the answer was lost is not repeated
// because Slack takes no calls when it is looked for.
func TestNotifySearchesOnceTheTokenIsBack(t *testing.T) {
	for name, trouble := range map[string]func(w *fixture){
		"token_revoked": func(w *fixture) { w.Revoke("token_revoked") },
		"a portal":      func(w *fixture) { w.Fail(slacktest.Fault{Redirect: "https://portal.example.com", Times: 100}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.Channel("#ci") // the bot is in it
			w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true, AfterEffect: true})
			o := outcome("unit", event.ResultDone)
			for range 3 {
				if err := w.notifier.Notify(t.Context(), o, to("#ci", "")); err == nil {
					t.Fatal("no error")
				}
				trouble(w)
				w.clock.Advance(time.Minute)
			}
			w.SetToken(token)
			w.ClearFaults()
			w.persist(t, o, "#ci")
			w.wantOnce(t, "#ci", o)
		})
	}
}

func TestNotifyWhenTheBotIsNoMember(t *testing.T) {
	w := newFixture(t)
	w.Fail(slacktest.Fault{Method: "chat.postMessage", Cut: true}) // #ci exists for nobody yet
	w.persist(t, outcome("unit", event.ResultDone), "#ci")
	w.wantOnce(t, "#ci", outcome("unit", event.ResultDone))
	if !strings.Contains(w.log.String(), "invite the bot: /invite @pipesteward in #ci") {
		t.Errorf("the log does not say what to do:\n%s", w.log.String())
	}
}

func TestNotifyConcurrently(t *testing.T) {
	w := newFixture(t)
	var outcomes []event.Outcome
	for i := range workers {
		outcomes = append(outcomes, outcome(fmt.Sprintf("job-%d", i), event.ResultDone))
	}
	w.together(t, func(worker int) error { return w.notifier.Notify(t.Context(), outcomes[worker], to("#ci", "")) })
	w.wantOnce(t, "#ci", outcomes...)
}

const workers = 16

// together lets all workers say something at once, each until it is said.
func (w *fixture) together(t *testing.T, say func(worker int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for {
				released := w.state.nextRelease()
				err := say(n)
				if err == nil {
					return
				}
				if e, ok := errors.AsType[*slack.Error](err); !ok || e.Code != "busy" || !errors.As(err, new(*worker.LaterError)) {
					t.Errorf("notified by many: %v, want one that nobody is warned of", err)
					return
				}
				<-released
			}
		})
	}
	wg.Wait()
}

func TestNotifyAfterTheMessageWasDeleted(t *testing.T) {
	for _, code := range []string{"", "cant_update_message"} {
		w := newFixture(t)
		notify(t, w, outcome("unit", event.ResultDone), "first")
		root := w.Messages("#ci")[0]
		w.Delete(root.ID, root.TS)
		if code != "" {
			w.Fail(slacktest.Fault{Method: "chat.update", Error: code})
		}
		notify(t, w, outcome("deploy", event.ResultDone), "second")
		wantShown(t, w, "#ci", top+"🔁 first"+facts+"\n🔁 second"+facts+"\n")
		notify(t, w, outcome("lint", event.ResultDone), "third")
		if m := w.Messages("#ci"); len(m) != 2 || m[1].ThreadTS != m[0].TS {
			t.Errorf("after %q the third is not in the thread of the second: %+v", code, m)
		}
	}
}

// TestEditBeginsNoMessageAndAddsNoReply: an edit is seen in the message and in all its later
// edits, and a message that does not exist stays so.
func TestEditBeginsNoMessageAndAddsNoReply(t *testing.T) {
	w := newFixture(t)
	edit := func(job, result, text string) {
		t.Helper()
		for range 2 {
			if err := w.notifier.Edit(t.Context(), outcome(job, result), to("#ci", text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	edit("unit", event.ResultDone, "unseen")
	wantShown(t, w, "#ci", "")
	notify(t, w, outcome("unit", event.ResultDone), "first")
	edit("unit", event.ResultGaveUp, "second")
	edit("lint", event.ResultDone, "third")
	wantShown(t, w, "#ci", strings.Replace(top, "running", "running · gave up", 1)+"🚨 second"+facts+"\n🔁 third"+facts+"\n")
	notify(t, w, outcome("unit", event.ResultRecovered), "fourth")
	if m := w.Messages("#ci"); len(m) != 2 || !strings.Contains(m[0].Plain(), "fourth") || !strings.Contains(m[0].Plain(), "third") {
		t.Errorf("#ci has %+v, want a message with the third and the fourth, and a reply", m)
	}
	root := w.Messages("#ci")[0]
	w.Delete(root.ID, root.TS)
	posts := len(w.Posts())
	edit("e2e", event.ResultDone, "fifth")
	if len(w.Posts()) != posts {
		t.Errorf("the edit of a message that was deleted posted %+v", w.Posts()[posts:])
	}
}

func TestNotifyWhenEditingIsOver(t *testing.T) {
	w := newFixture(t)
	notify(t, w, outcome("unit", event.ResultDone), "first")
	w.Fail(slacktest.Fault{Method: "chat.update", Error: "edit_window_closed"})
	notify(t, w, outcome("deploy", event.ResultDone), "second")
	w.wantOnce(t, "#ci", outcome("unit", event.ResultDone), outcome("deploy", event.ResultDone))
}

// TestNotifyDuringShutdown: the process must stop while it posts.
func TestNotifyDuringShutdown(t *testing.T) {
	o := outcome("unit", event.ResultDone)
	t.Run("before the answer", func(t *testing.T) {
		w := newFixture(t)
		ctx, stop := context.WithCancel(t.Context())
		w.sent = func(string) error { stop(); return ctx.Err() }
		err := w.notifier.Notify(ctx, o, to("#ci", ""))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want one of a canceled context", err)
		}
		w.sent = nil
		w.clock.Advance(again(t, err))
		w.persist(t, o, "#ci")
		w.wantOnce(t, "#ci", o)
	})
	t.Run("after the answer", func(t *testing.T) {
		w := newFixture(t)
		ctx, stop := context.WithCancel(t.Context())
		w.sent = func(string) error { stop(); return nil }
		if err := w.notifier.Notify(ctx, o, to("#ci", "")); err != nil {
			t.Errorf("it was posted, and yet: %v", err)
		}
		w.sent = nil
		notify(t, w, o, "")
		w.wantOnce(t, "#ci", o)
	})
}

// TestNotifyAfterTheClaimExpired: while one worker's edit takes too long, another
// takes its turn; the first must not go on from what it knew.
func TestNotifyAfterTheClaimExpired(t *testing.T) {
	w := newFixture(t)
	first, second, third := outcome("unit", event.ResultDone), outcome("deploy", event.ResultDone), outcome("lint", event.ResultDone)
	notify(t, w, first, "")
	w.sent = func(method string) error {
		if method == "chat.update" {
			w.sent = nil
			w.clock.Advance(time.Minute)
			notify(t, w, third, "")
		}
		return nil
	}
	w.persist(t, second, "#ci")
	notify(t, w, third, "")
	w.wantOnce(t, "#ci", first, second, third)
	if root := w.Messages("#ci")[0].Plain(); strings.Count(root, "🔁") != 3 {
		t.Errorf("the message lacks a line:\n%s", root)
	}
}

// to returns a notice to a channel.
func to(channel, text string) event.Notice {
	return event.Notice{Address: event.Address{Receiver: event.ReceiverSlack, Channel: channel}, Text: text}
}
