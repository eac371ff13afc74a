package catchup_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// The service is down for an hour: after it, all actions that rules want are done,
// once.
func TestAfterAnHour(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.want("by webhook", map[string]int{"retry rspec": 1, "play deploy": 1})

	o.off.Store(true)
	for range 6 {
		o.traffic()
	}
	o.off.Store(false)
	o.want("while the service is down", map[string]int{"retry rspec": 1, "play deploy": 1})
	result := o.catchUp()
	o.work()
	// Also manual and trigger jobs, which no webhook reports, of the time before.
	after := map[string]int{"retry rspec": 7, "play deploy": 7, "play review": 7, "retry trigger": 7}
	o.want("after a round", after)
	if result.Found() < 6+6+7+7 {
		t.Errorf("found %+v", result)
	}

	if result := o.catchUp(); result.Found() != 0 {
		t.Errorf("another round finds %+v", result)
	}
	o.clock.Advance(5 * time.Minute)
	o.catchUp()
	for _, d := range o.gitlab.Deliveries() {
		o.gitlab.Resend(d.ID)
	}
	o.gitlab.Flush()
	o.work()
	o.want("after another round, and all deliveries once more", after)
}

// Failed deliveries are replayed from GitLab's own list. A delivery that arrived is
// not replayed.
func TestReplaysFailedDeliveries(t *testing.T) {
	o := newOutage(t)
	o.gitlab.AddHook(gitlabtest.Hook{Group: "platform", URL: o.url, Token: testSecret, PipelineEvents: true})
	o.traffic()
	o.work()
	o.catchUp()
	o.work()

	o.off.Store(true)
	stuck, _, _ := o.traffic()
	o.off.Store(false)
	before := o.calls()["retry rspec"]

	result := o.catchUpWith(nil) // reads no project's jobs
	if result.Replayed == 0 || result.WithoutBody+result.Jobs+result.Pipelines > 0 {
		t.Errorf("found %+v", result)
	}
	o.work()
	if got := o.calls()["retry rspec"]; got != before+1 {
		t.Errorf("%d retries of rspec, want %d (pipeline %d)", got, before+1, stuck.ID)
	}
	o.clock.Advance(2 * time.Minute)
	if result := o.catchUpWith(nil); result.Replayed > 0 {
		t.Errorf("once more: %+v", result)
	}
}

// An event that catch-up makes counts the runs of its job as a hook would.
func TestCountsAttempts(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	var err error
	if o.rules, err = rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(`
version: 1
rules:
  - name: third-time
    on: job
    if: job.status == "failed" and job.attempt == 2
    actions: [retry: {allow_stale: true}]
`)}); err != nil {
		t.Fatal(err)
	}
	o.catchUp() // records the rules
	o.off.Store(true)
	pipeline := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	fail := func(name string) int64 {
		id := o.gitlab.Latest(pipeline.ID, name).ID
		o.gitlab.Run(id)
		o.gitlab.Finish(id, "failed", "script_failure")
		return id
	}
	fail("lint")
	if _, err := o.gitlab.Retry(fail("rspec")); err != nil {
		t.Fatal(err)
	}
	fail("rspec")
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	before := o.calls()["retry rspec"]
	o.catchUp()
	o.work()
	if got := o.calls(); got["retry rspec"] != before+1 || got["retry lint"] != 0 {
		t.Errorf("calls: %v", got)
	}
}

// killEach thins out the test that interrupts a round at every step: `make soak`
// runs all of them.
var killEach = flag.Int("kill-each", 4, "cut a round of catch-up short at every n-th step")

// Wherever a round is interrupted, the next one finds the rest, and each action is
// done once.
func TestCutShort(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	for steps := 1; ; steps += *killEach {
		o := newOutage(t)
		o.traffic()
		o.work()
		o.off.Store(true)
		o.traffic()
		o.off.Store(false)
		db := &dyingStore{Store: o.db, steps: steps}
		_, err := o.newCatchUpOn(db, o.client).Round(t.Context(), false)
		if (err != nil) != (db.steps < 0) {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		o.clock.Advance(3 * time.Minute) // its claim runs out
		o.catchUp()
		o.work()
		o.want(fmt.Sprintf("cut short after %d steps", steps), map[string]int{"retry rspec": 2, "play deploy": 2, "play review": 2, "retry trigger": 2})
		if err == nil || t.Failed() {
			if steps < 20 {
				t.Errorf("a round has %d steps: the store does not see them", steps)
			}
			return
		}
	}
}

// dyingStore can't be reached any more after so many calls.
type dyingStore struct {
	store.Store
	steps int
}

func (d *dyingStore) dead() error {
	if d.steps--; d.steps < 0 {
		return errors.New("the process was killed")
	}
	return nil
}

func (d *dyingStore) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	return d.Store.Put(ctx, records...)
}

func (d *dyingStore) Get(ctx context.Context, key string) ([]byte, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	return d.Store.Get(ctx, key)
}

func (d *dyingStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := d.dead(); err != nil {
		return err
	}
	return d.Store.Set(ctx, key, value, ttl)
}

func (d *dyingStore) Release(ctx context.Context, key, owner string) error {
	if d.steps < 0 {
		return errors.New("the process was killed")
	}
	return d.Store.Release(ctx, key, owner)
}

// A delivery that is replayed reports its own time: that the pipeline ended once
// more after it is found as well.
func TestFindsWhatCameAfterAReplay(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.catchUp()
	var err error
	if o.rules, err = rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(
		"version: 1\nrules: [{name: notify, on: pipeline, if: 'pipeline.status == \"failed\"', notify: [{channel: ci}]}]")}); err != nil {
		t.Fatal(err)
	}
	o.catchUp() // records the rules
	o.off.Store(true)
	pipeline := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	fail := func() int64 {
		job := o.gitlab.Latest(pipeline.ID, "rspec").ID
		o.gitlab.Run(job)
		o.gitlab.Finish(job, "failed", "script_failure")
		o.clock.Advance(5 * time.Minute)
		o.gitlab.Flush()
		return job
	}
	job := fail()
	sent := len(o.gitlab.Deliveries())
	if _, err := o.gitlab.Retry(job); err != nil {
		t.Fatal(err)
	}
	o.clock.Advance(10 * time.Minute)
	fail()
	o.off.Store(false)
	result := o.catchUpWith(forgetful{o.client, o.gitlab.Deliveries()[sent-1].Key})
	o.work()
	if again := o.catchUpWith(forgetful{o.client, ""}); result.Replayed != 1 || result.Pipelines+again.Pipelines != 1 {
		t.Errorf("found %+v, and then %+v", result, again)
	}
}

// forgetful is a GitLab that does not list deliveries after the one with the
// key.
type forgetful struct {
	*gitlab.Client
	last string
}

func (f forgetful) FailedDeliveries(ctx context.Context, hook gitlab.Hook) iter.Seq2[gitlab.HookDelivery, error] {
	return func(yield func(gitlab.HookDelivery, error) bool) {
		found := false
		for d, err := range f.Client.FailedDeliveries(ctx, hook) {
			found = found || d.Key == f.last
			if found && !yield(d, err) {
				return
			}
		}
	}
}

// A trigger job that failed long before its pipeline ended is found when that
// has ended, and a pipeline that can't be read keeps none of the others back.
func TestFindsTriggerJobsOfLongPipelines(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.catchUp()
	o.work()
	before := o.calls()["retry trigger"]
	broken := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "trigger", Bridge: true})
	long := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "trigger", Bridge: true}, gitlabtest.Job{Name: "rspec"})
	o.gitlab.Finish(o.gitlab.Latest(broken.ID, "trigger").ID, "failed", "api_failure")
	o.gitlab.Finish(o.gitlab.Latest(long.ID, "trigger").ID, "failed", "api_failure")
	o.gitlab.Run(o.gitlab.Latest(long.ID, "rspec").ID)
	o.clock.Advance(40 * time.Minute)
	o.catchUpWith(nil) // a round in which the pipelines are not listed
	o.clock.Advance(40 * time.Minute)
	o.gitlab.Finish(o.gitlab.Latest(long.ID, "rspec").ID, "success", "")
	o.clock.Advance(5 * time.Minute)
	o.gitlab.Flush()
	o.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: fmt.Sprintf("/pipelines/%d/bridges", broken.ID), Status: http.StatusNotFound, Times: -1})
	if _, err := o.newCatchUp(o.client).Round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	o.work()
	if got := o.calls()["retry trigger"]; got != before+1 {
		t.Errorf("%d retries of trigger jobs, want %d", got, before+1)
	}
}

// Of two replicas, one catches up at a time.
func TestOneAtATime(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	history := &pausedHistory{Client: o.client, arrived: make(chan struct{}), goOn: make(chan struct{})}
	first := make(chan error)
	go func() {
		_, err := o.newCatchUp(history).Round(t.Context(), true)
		first <- err
	}()
	<-history.arrived
	if _, err := o.newCatchUp(o.client).Round(t.Context(), true); !errors.Is(err, catchup.ErrRunning) {
		t.Errorf("the second replica: %v", err)
	}
	close(history.goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := o.newCatchUp(o.client).Round(t.Context(), true); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

// pausedHistory waits before it lists a project's jobs.
type pausedHistory struct {
	*gitlab.Client
	arrived, goOn chan struct{}
}

func (p *pausedHistory) ProjectJobs(ctx context.Context, project int64, statuses ...string) iter.Seq2[gitlab.Job, error] {
	close(p.arrived)
	<-p.goOn
	return p.Client.ProjectJobs(ctx, project, statuses...)
}

// If GitLab kept no body of a failed delivery, the projects that it may have been
// about are read at once, long jobs included, and again until that has
// succeeded in all of them.
func TestReadsProjectsOfDeliveriesWithoutABody(t *testing.T) {
	for _, test := range []struct {
		name  string
		group bool // the webhook is that of the group, to which another project belongs
		fault string
	}{
		{name: "of a project"},
		{name: "of a project that can't be read at first", fault: "/projects/1/jobs"},
		{name: "of a group", group: true},
		{name: "of a group, whose other project can't be read at first", group: true, fault: "/projects/2/jobs"},
		{name: "of a group, whose project can't be read at first", group: true, fault: "/projects/1/jobs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOutage(t)
			if test.group {
				o.gitlab.AddHook(gitlabtest.Hook{Group: "platform", URL: o.url, Token: testSecret, JobEvents: true, PipelineEvents: true})
				other := o.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"})
				o.gitlab.AddPipeline(other.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"})
			}
			o.traffic()
			long := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{Message: strings.Repeat("long ", 30_000)}, gitlabtest.Job{Name: "rspec"})
			o.gitlab.Run(o.gitlab.Latest(long.ID, "rspec").ID)
			o.gitlab.Flush()
			o.clock.Advance(6 * time.Hour)
			o.catchUp() // finds long jobs, as the next rounds do not
			o.work()
			before := o.calls()["retry rspec"]

			o.clock.Advance(5 * time.Minute)
			o.off.Store(true)
			o.gitlab.Finish(o.gitlab.Latest(long.ID, "rspec").ID, "failed", "stuck_or_timeout_failure")
			o.gitlab.Flush()
			o.off.Store(false)
			o.clock.Advance(2 * time.Minute)
			if test.fault != "" {
				o.gitlab.Fail(gitlabtest.Fault{Path: test.fault, Status: http.StatusBadGateway, Times: 20})
				_, _ = o.newCatchUp(o.client).Round(t.Context(), false)
				o.gitlab.ClearFaults()
				o.clock.Advance(2 * time.Minute)
			}
			if result := o.catchUp(); result.WithoutBody == 0 || len(result.Problems) == 0 || !strings.Contains(result.Problems[0].Reason, "GitLab kept no body of ") {
				t.Errorf("the round does not report the deliveries without a body: %+v", result)
			}
			o.work()
			if got := o.calls()["retry rspec"]; got != before+1 {
				t.Errorf("%d retries of rspec, want %d", got, before+1)
			}
			o.clock.Advance(2 * time.Minute)
			if result := o.catchUp(); result.WithoutBody > 0 {
				t.Errorf("another round reads the same deliveries: %+v", result)
			}
			if n := o.gitlab.Count(http.MethodPost, "/resend"); n > 0 {
				t.Errorf("%d requests to resend a delivery were sent to GitLab", n)
			}
		})
	}
}

// A job that ran for a long time is found too, within an hour, and other rounds read
// the newest jobs only.
func TestFindsLongJobs(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	begin := o.clock.Now()
	long := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	o.gitlab.Run(o.gitlab.Latest(long.ID, "rspec").ID)
	o.clock.Advance(6 * time.Hour)
	failed := o.clock.Now().Add(-7 * time.Hour)
	o.gitlab.AddOldJobs(o.project.ID, gitlabtest.OldJobs{Count: 1000, PerPipeline: 100, Job: func(int) gitlabtest.Job {
		return gitlabtest.Job{Name: "lint", Status: "failed", FailureReason: "script_failure", CreatedAt: failed, StartedAt: failed, FinishedAt: failed}
	}})
	o.catchUp()
	o.work()
	before := o.calls()["retry rspec"]
	o.off.Store(true)
	o.gitlab.Finish(o.gitlab.Latest(long.ID, "rspec").ID, "failed", "stuck_or_timeout_failure")
	o.gitlab.Flush()
	o.off.Store(false)
	for minutes := 5; o.calls()["retry rspec"] == before; minutes += 5 {
		if minutes > 70 {
			t.Fatalf("not found in an hour, from %s on", begin)
		}
		o.clock.Advance(5 * time.Minute)
		pages := o.gitlab.Count("GET", "/jobs")
		o.catchUpWith(looking{o.client})
		o.work()
		if pages = o.gitlab.Count("GET", "/jobs") - pages; pages > 2 && minutes < 55 {
			t.Errorf("after %d minutes, a round requests %d pages of jobs", minutes, pages)
		}
	}
}

// looking is a GitLab that lists jobs, but no pipelines and no webhooks.
type looking struct{ *gitlab.Client }

func (looking) ProjectHooks(context.Context, int64) ([]gitlab.Hook, error) { return nil, nil }

func (looking) GroupHooks(context.Context, string) ([]gitlab.Hook, error) { return nil, nil }

func (looking) PipelinesSince(context.Context, int64, time.Time, ...string) ([]gitlab.UpdatedPipeline, error) {
	return nil, nil
}

// Events that are too old are ignored.
func TestIgnoresOldEvents(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.catchUp()
	o.work()
	before := o.calls()
	o.off.Store(true)
	o.traffic()
	o.clock.Advance(25 * time.Hour)
	o.off.Store(false)
	if result := o.catchUp(); result.Found() != 0 {
		t.Errorf("found %+v", result)
	}
	o.work()
	o.want("after a day", before)
}
