package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// output runs a command against the program, and returns its exit status and what it
// prints.
func (p *program) output(args ...string) (code int, stdout, stderr string) {
	p.Helper()
	var out, errs bytes.Buffer
	code = run(p.Context(), append(append([]string{"pipesteward"}, args...), "--admin-url", p.admin), &out, &errs)
	return code, out.String(), errs.String()
}

// wants runs a command and wants it to succeed, and to print the parts.
func (p *program) wants(args []string, parts ...string) string {
	p.Helper()
	code, out, errs := p.output(args...)
	if code != 0 {
		p.Fatalf("%q: exit status %d, %s", args, code, errs)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			p.Errorf("%q does not print %q:\n%s", args, part, out)
		}
	}
	return out
}

// refuses runs a command and wants it to fail, and to say why.
func (p *program) refuses(args []string, says string) {
	p.Helper()
	if code, out, errs := p.output(args...); code != 1 || !strings.Contains(errs, says) {
		p.Errorf("%q: exit status %d, %q, %q, want 1 and %q", args, code, out, errs, says)
	}
}

// list reads what a command prints with --json.
func list[T any](p *program, args ...string) (items []T) {
	p.Helper()
	if err := json.Unmarshal([]byte(p.wants(append(args, "--json"))), &items); err != nil {
		p.Fatal(err)
	}
	return items
}

// buriedEvent puts the event of a stuck job into a Redis and buries it, and returns its id.
func (env *environment) buriedEvent(url string, job gitlabtest.Job) (id string) {
	env.Helper()
	db, err := redis.Open(env.Context(), url, redis.Options{CallTimeout: redistest.CallTimeout})
	if err != nil {
		env.Fatal(err)
	}
	defer db.Close()
	e, err := webhook.Decode(env.gitlab.JobHookBody(job.ID), env.gitlab.URL())
	if err != nil {
		env.Fatal(err)
	}
	e.Meta.ID, e.Meta.Source, e.Meta.ReceivedAt = "a/b c:1?", event.SourceWebhook, time.Now()
	body, err := json.Marshal(event.Record{Event: e})
	if err != nil {
		env.Fatal(err)
	}
	id = "event:" + env.gitlab.URL() + ":" + e.Meta.ID
	if _, err := db.Put(env.Context(), store.Record{ID: id, Kind: event.RecordEvent, Body: body}); err != nil {
		env.Fatal(err)
	}
	leases, err := db.Lease(env.Context(), 1, time.Minute)
	if err != nil || len(leases) != 1 {
		env.Fatal(leases, err)
	}
	if err := db.Bury(env.Context(), &leases[0], "a bug that is mended"); err != nil {
		env.Fatal(err)
	}
	return id
}

// TestRequeueDeadRecord: a dead record is listed with its reason, and carried out once when
// it is requeued through two replicas at the same time. The change is recorded.
func TestRequeueDeadRecord(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	server := redistest.Start(t)
	job := env.stuckJob()
	id := env.buriedEvent(server.URL(), job)
	first, second := env.run("--store", server.URL()), env.run("--store", server.URL())

	first.wants([]string{"queue", "list", "--dead"}, "a bug that is mended", "rspec failed", "platform/shop", "0 due, 0 waiting, 0 leased, 1 dead in all")
	first.wants([]string{"status"}, "dead because: a bug that is mended (1)")
	if dead := list[admin.DeadRecord](first, "queue", "list", "--dead", "--project", "platform/shop", "--since", "1h"); len(dead) != 1 || dead[0].ID != id {
		t.Fatalf("dead records %+v, want %s", dead, id)
	}
	codes := requeueAtOnce(t, id, first, second)
	if codes[http.StatusOK] != 1 || codes[http.StatusOK]+codes[http.StatusConflict]+codes[http.StatusNotFound] != 16 {
		t.Errorf("answers %v, want 200 once", codes)
	}
	first.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	first.refuses([]string{"queue", "requeue", id}, "no record and no decision has this id")
	second.wants([]string{"status"}, "changes", "requeue "+id+" by ")
}

// requeueAtOnce requeues an id through all programs at the same time, 16 times in all, and
// counts the answers by their status.
func requeueAtOnce(t *testing.T, id string, programs ...*program) map[int]int {
	t.Helper()
	codes := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			code, _ := programs[i%len(programs)].request(http.MethodPost, "/api/v1/queue/"+url.PathEscape(id)+"/requeue", "")
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	all.Wait()
	return codes
}

// failedDecision delivers a stuck job whose retry GitLab refuses, and returns the job and
// the id of the decision.
func (env *environment) failedDecision(p *program, path string) (job gitlabtest.Job, id string) {
	env.Helper()
	job = env.stuckJobOf(path)
	env.gitlab.SetRole(job.ProjectID, gitlabtest.Reporter)
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	failed := list[event.Outcome](p, "decisions", "--outcome", "failed", "--project", path)
	if len(failed) != 1 {
		env.Fatalf("failed decisions %+v, want one", failed)
	}
	env.gitlab.SetRole(job.ProjectID, gitlabtest.Developer)
	return job, failed[0].ID
}

// TestRequeueFailedDecision: a decision that failed is made again once while it is called
// for, and skipped when it is not.
func TestRequeueFailedDecision(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	server := redistest.Start(t)
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"}) // where the bot keeps its rights
	first, second := env.run("--store", server.URL()), env.run("--store", server.URL())

	job, id := env.failedDecision(first, "platform/shop")
	first.wants([]string{"decisions"}, "failed", "platform/shop", id)
	if codes := requeueAtOnce(t, id, first, second); codes[http.StatusOK] != 1 || codes[http.StatusConflict] != 15 {
		t.Errorf("answers %v, want 200 once, and 409", codes)
	}
	first.workedOff()
	if n := len(env.gitlab.Jobs(job.PipelineID)); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
	first.wants([]string{"decisions", "--project", "platform/shop", "--outcome", "done"}, "attempt 2 of 3")
	first.refuses([]string{"queue", "requeue", id}, "made again already")

	mended, id := env.failedDecision(first, "platform/mended")
	if _, err := env.gitlab.Retry(mended.ID); err != nil {
		t.Fatal(err)
	}
	second.wants([]string{"queue", "requeue", id, "--by", "ann", "--reason", "mended"}, "requeued "+id+" as ")
	first.workedOff()
	all := list[event.Outcome](first, "decisions", "--project", "platform/mended")
	if len(all) != 2 || all[0].Result != event.ResultSkipped || !strings.Contains(all[0].Reason, "already retried") || all[1].ID != id || all[1].Result != event.ResultFailed {
		t.Errorf("decisions %+v, want one skipped after the one that failed", all)
	}
	var page admin.ChangesPage
	_, text := first.get("/api/v1/changes")
	if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Changes) != 2 {
		t.Fatalf("changes %s, %v, want 2", text, err)
	}
	if c := page.Changes[0]; c.Action != event.ChangeRequeue || c.Target != id || c.By != "ann" || c.Reason != "mended" || c.From != "127.0.0.1" || c.At.IsZero() {
		t.Errorf("change %+v", c)
	}
}

// TestDropRecord: what waits is listed, and is not carried out once it is dropped.
func TestDropRecord(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", delayedRules)
	p := env.run()
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.eventually("the retry waits", func() bool { return len(p.outcomes()) == 1 })
	p.wants([]string{"queue", "list"}, "retry of rspec", "waiting", "delay", "platform/shop", "retry-stuck", "0 due, 1 waiting, 0 leased, 0 dead in all")
	p.wants([]string{"queue", "list", "--waits-for", "budget"}, "no records\n", "1 waiting")
	p.wants([]string{"queue", "list", "--dead"}, "no dead records\n")
	p.wants([]string{"queue", "list", "--since", "1h"}, "retry of rspec")
	p.wants([]string{"queue", "list", "--since", time.Now().Format(time.RFC3339Nano)}, "no records\n", "1 waiting")
	p.wants([]string{"status"}, "0 due, 1 waiting", "waiting for: delay (1)")
	records := list[admin.QueuedRecord](p, "queue", "list", "--rule", "retry-stuck", "--state", "waiting")
	if len(records) != 1 || records[0].WaitsFor != event.WaitDelay {
		t.Fatalf("records %+v, want one that waits for its delay", records)
	}
	id := records[0].ID
	if code, _, errs := p.output("queue", "drop", id); code != 2 || !strings.Contains(errs, "--yes") {
		t.Errorf("a drop without --yes: exit status %d, %q", code, errs)
	}
	p.refuses([]string{"queue", "requeue", id}, "in the queue already")
	p.wants([]string{"queue", "drop", id, "--yes", "--by", "ann", "--json"}, `"id": "`+id+`"`)
	p.workedOff()
	all := list[event.Outcome](p, "decisions")
	if len(all) != 1 || all[0].Result != event.ResultSkipped || all[0].Reason != "dropped from the queue by ann" {
		t.Errorf("decisions %+v, want one that was dropped", all)
	}
	if code, _, errs := p.output("queue", "drop", "none", id, "a/b", "--yes"); code != 1 || strings.Count(errs, "no record and no decision has this id") != 3 {
		t.Errorf("a drop of unknown ids: exit status %d, %q", code, errs)
	}
	p.wants([]string{"queue", "list", "--json"}, "[]")
	p.wants([]string{"decisions", "--rule", "none"}, "no decisions")
}

// lines are the lines that a command has printed so far.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.text.String(), "\n"), "\n")
}

// TestFollowDecisions: new and changed decisions are printed once each, also over a restart
// of the server, which is told by one line.
func TestFollowDecisions(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", strings.Replace(delayedRules, "delay: 1h", "delay: 0s", 1))
	p := env.run()
	before := env.stuckJob()
	p.post(env.gitlab.JobHookBody(before.ID))
	p.workedOff()
	p.wants([]string{"pause", "--by", "ann"}, "paused")
	deferred := env.stuckJob()
	p.post(env.gitlab.JobHookBody(deferred.ID))
	p.eventually("it is deferred", func() bool { return len(p.outcomes()) == 2 && p.outcomes()[0].Result == event.ResultDeferred })

	var out, errs lines
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"pipesteward", "decisions", "--follow", "--json", "--interval", "10ms", "--limit", "1", "--admin-url", p.admin}, &out, &errs)
	}()
	printed := func() (all []string) {
		for _, line := range out.all() {
			var o event.Outcome
			if json.Unmarshal([]byte(line), &o) == nil {
				all = append(all, fmt.Sprintf("%d %s", o.Job.ID, o.Result))
			}
		}
		return all
	}
	p.eventually("the last decision is printed", func() bool { return len(printed()) == 1 })

	address := strings.TrimPrefix(p.admin, "http://")
	p.stop()
	await.Until(t, "the command says that nobody answers", func() bool { return strings.Contains(strings.Join(errs.all(), "\n"), "does not answer now") }, func() string { return fmt.Sprint(errs.all()) })
	p = env.run("--admin-listen", address)
	p.wants([]string{"resume"}, "nothing is paused")
	fresh := env.stuckJob()
	p.post(env.gitlab.JobHookBody(fresh.ID))
	want := []string{fmt.Sprint(deferred.ID, " deferred"), fmt.Sprint(deferred.ID, " done"), fmt.Sprint(fresh.ID, " done")}
	has := func(line string) bool {
		for _, got := range printed() {
			if got == line {
				return true
			}
		}
		return false
	}
	p.eventually("all changes are printed", func() bool { return has(want[0]) && has(want[1]) && has(want[2]) })
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
	seen := map[string]int{}
	for _, line := range printed() {
		if seen[line]++; seen[line] > 1 {
			t.Errorf("%s is printed again in %q", line, printed())
		}
	}
	if seen[fmt.Sprint(before.ID, " done")] > 0 {
		t.Errorf("a decision beyond --limit is printed: %q", printed())
	}
	if n := len(errs.all()); n != 1 {
		t.Errorf("the restart is told by %d lines, want 1: %q", n, errs.all())
	}
}

// TestSteeringExplainsItself: what is wrong is said with what to do.
func TestSteeringExplainsItself(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"decisions", "--admin-url", "http://127.0.0.1:1"}, 1, "no server answers at http://127.0.0.1:1"},
		{[]string{"decisions", "--follow", "--admin-url", "http://127.0.0.1:1"}, 1, "no server answers at http://127.0.0.1:1"},
		{[]string{"queue", "list", "--admin-url", "http://127.0.0.1:1"}, 1, "no server answers at http://127.0.0.1:1"},
		{[]string{"queue", "requeue", "x", "--admin-url", "http://127.0.0.1:1"}, 1, "no server answers at http://127.0.0.1:1"},
		{[]string{"queue", "drop", "x", "--yes", "--admin-url", "nonsense"}, 2, "write for instance http://127.0.0.1:9090"},
		{[]string{"decisions", "today"}, 2, `decisions takes no arguments, but got "today"`},
		{[]string{"decisions", "--limit", "0"}, 2, "--limit"},
		{[]string{"decisions", "--outcome", "fine"}, 2, `--outcome: "fine" is none of done,`},
		{[]string{"decisions", "--project", ""}, 2, "--project is empty, as an unset variable is"},
		{[]string{"decisions", "--follow", "--interval", "0s"}, 2, "--interval"},
		{[]string{"queue", "lst"}, 2, `no command "queue lst"`},
		{[]string{"queue", "list", "all"}, 2, `queue list takes no arguments, but got "all"`},
		{[]string{"queue", "list", "--limit", "x"}, 2, "limit"},
		{[]string{"queue", "requeue"}, 2, "needs the ID of a record"},
		{[]string{"queue", "drop", "--yes", ""}, 2, "an ID is empty"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"pipesteward"}, test.args...), &out, &errs); code != test.code || !strings.Contains(errs.String(), test.says) {
			t.Errorf("%v: exit status %d, %q, want %d and %q", test.args, code, errs.String(), test.code, test.says)
		}
	}
}

// TestWrongFiltersAreUsage: what the server finds wrong in a command line is told by the
// command's own flags, with the exit status of a wrong command line.
func TestWrongFiltersAreUsage(t *testing.T) {
	t.Parallel()
	p := newEnvironment(t).run()
	for _, test := range []struct{ line, says string }{
		{"decisions --action bad", "--action: it must be one of retry,"},
		{"decisions --outcome bad", `--outcome: "bad" is none of done,`},
		{"decisions --job abc", "--job: it must be an id"},
		{"decisions --since yesterday", "--since: it must be a duration like 2h"},
		{"decisions --follow --since yesterday", "--since: it must be a duration like 2h"},
		{"deliveries --result bad", "--result: it must be one of stored,"},
		{"deliveries --since yesterday", "--since: it must be a duration like 2h"},
		{"queue list --waits-for x", "--waits-for: it must be one of delay,"},
		{"queue list --kind nonsense", "--kind: it must be one of event, decision, outcome, notice, digest, sweep,"},
		{"queue list --dead --kind nonsense", "--kind: it must be one of event, decision, outcome, notice, digest, sweep,"},
		{"queue list --since yesterday", "--since: it must be a duration like 2h or 7d, or a time like 2026-12-24T18:00:00Z"},
		{"queue list --dead --since yesterday", "--since: it must be a duration like 2h or 7d, or a time like 2026-12-24T18:00:00Z"},
		{"queue list --dead --state due", "--state selects records in the queue, and --dead lists"},
		{"pause --for 10", `--for: "10" is not a duration`},
		{"pause --for 1h --until 2999-01-01T00:00:00Z", "--for and --until both say when the pause ends"},
		{"pause --until tomorrow", `--until: "tomorrow" is not a time like 2`},
		{"pause --until=", `--until: "" is not a time like 2`},
		{"pause --for=", "--for is empty, as an unset variable is"},
		{"pause --rule retry-stuk", `there is no rule "retry-stuk": there are retry-stuck`},
		{"resume --every --rule x", "--every ends all pauses: give it without --project and --rule"},
	} {
		code, out, errs := p.output(strings.Fields(test.line)...)
		if code != 2 || out != "" || !strings.HasPrefix(errs, "pipesteward: "+test.says) {
			t.Errorf("%s: exit status %d, %q, %q, want 2 and %q", test.line, code, out, errs, test.says)
		}
	}
	p.refuses([]string{"resume"}, "`pipesteward status` lists those that are")
	p.refuses([]string{"queue", "drop", "--yes", "x"}, "`pipesteward queue list`")
}

func TestConfirmDrop(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{"y\n": "", "Yes\n": "", "yes": "", "\n": "nothing was dropped", "no\n": "nothing was dropped", "": "nothing was dropped"} {
		var out bytes.Buffer
		err := confirmDrop([]string{"a", "b"}, strings.NewReader(answer), true, &out)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: error %v, want %q", answer, err, want)
		}
		if !strings.Contains(out.String(), "drop 2 records for good?") {
			t.Errorf("the question is %q", out.String())
		}
	}
}
