package main

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A staging GitLab that was restored from production's backup has production's
// webhook, secret and ids. Its events cause nothing, also those that came
// while nobody knew yet whether the two addresses are of one GitLab; and those of
// production, whose own address is not --gitlab-url, all count.
func TestDeliveriesOfARestoredGitLab(t *testing.T) {
	t.Parallel()
	const external = "https://gitlab.example.com"
	w := newWorld(t)
	w.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, ExternalURL: external})
	staging := *w
	staging.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	w.gitlab.Fail(gitlabtest.Fault{Path: "/user", Status: http.StatusBadGateway, Times: -1})
	p := w.serve()

	theirs, ours := staging.stuckJob(), w.stuckJob()
	if theirs.ID != ours.ID {
		t.Fatalf("the jobs are %d and %d, want the same id", theirs.ID, ours.ID)
	}
	if code := p.post(staging.gitlab.JobHookBody(theirs.ID)); code != http.StatusAccepted {
		t.Errorf("while GitLab can't be asked, staging's delivery is answered with %d, want 202", code)
	}
	second := w.stuckJobOf("platform/other")
	for _, job := range []gitlabtest.Job{ours, second} {
		if code := p.post(w.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
			t.Errorf("while GitLab can't be asked, production's delivery is answered with %d, want 202", code)
		}
	}
	if n := w.gitlab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d retries for events that may be another GitLab's", n)
	}

	w.gitlab.ClearFaults()
	p.workedOff()
	if all := p.outcomes(); len(all) != 2 {
		t.Errorf("%d outcomes, want one for each of production's two events", len(all))
	} else {
		for _, o := range all {
			if o.Result != event.ResultDone || o.Meta.Instance != w.gitlab.URL() {
				t.Errorf("outcome %s of an event of %s, want one that is done, of %s", o.Result, o.Meta.Instance, w.gitlab.URL())
			}
		}
	}

	third := staging.stuckJob()
	for range 2 {
		if code := p.post(staging.gitlab.JobHookBody(third.ID)); code != http.StatusForbidden {
			t.Errorf("staging's delivery is answered with %d, want 403", code)
		}
	}
	p.workedOff()
	if n := w.gitlab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
	if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `pipesteward_deliveries_total{kind="job",result="foreign"} 2`) {
		t.Error("the refused deliveries are not counted")
	}
	if n := strings.Count(p.logged(), "--gitlab-alias"); n != 1 {
		t.Errorf("staging's address is logged %d times, want once:\n%s", n, p.tail())
	}
}

// What an alias names is the same GitLab.
func TestGitLabAlias(t *testing.T) {
	w := newWorld(t)
	alias := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	w.gitlab.Fail(gitlabtest.Fault{Path: "/user", Status: http.StatusForbidden, Times: -1})
	job := w.stuckJob()
	body := strings.ReplaceAll(string(w.gitlab.JobHookBody(job.ID)), w.gitlab.URL(), alias.URL())
	p := w.serve("--gitlab-alias", alias.URL()+"/")
	if code := p.post([]byte(body)); code != http.StatusAccepted {
		t.Errorf("a delivery of the alias is answered with %d, want 202", code)
	}
	p.workedOff()
	if n := w.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// What waits in the queue is held to the same: a store that belonged to another
// GitLab's Pipesteward causes nothing in this one.
func TestQueueOfAnotherGitLab(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: "/jobs", Status: http.StatusBadGateway, Times: -1})
	job := w.stuckJob()
	w.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: "/jobs/" + strconv.FormatInt(job.ID, 10), Status: http.StatusBadGateway, Times: -1})
	p := w.serve()
	p.post(w.gitlab.JobHookBody(job.ID))
	p.eventually("the event is decided on", func() bool { return len(p.outcomes()) == 1 })
	p.stop()

	w.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	if same := w.stuckJob(); same.ID != job.ID {
		t.Fatalf("the jobs are %d and %d, want the same id", job.ID, same.ID)
	}
	p = w.serve()
	p.workedOff()
	if all := p.outcomes(); len(all) != 1 || all[0].Result != event.ResultSkipped || !strings.Contains(all[0].Reason, "--gitlab-alias") {
		t.Errorf("outcomes %+v, want one skipped with the setting to change", all)
	}
	if n := w.gitlab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d retries for an event of another GitLab", n)
	}
}

// restoredList is a GitLab whose list of failed deliveries holds one body.
type restoredList struct {
	emptyHistory
	body []byte
	at   time.Time
}

func (l restoredList) Hooks(context.Context, event.Project) ([]catchup.Hook, error) {
	return []catchup.Hook{{Name: "project 1, webhook 1", Failed: func(context.Context) iter.Seq2[catchup.FailedDelivery, error] {
		return func(yield func(catchup.FailedDelivery, error) bool) {
			yield(catchup.FailedDelivery{ID: 1, At: l.at, Key: "key", Body: l.body}, nil)
		}
	}}}, nil
}

// A list of failed deliveries that came with another GitLab's backup is not
// replayed; nor is anything of it acted on while GitLab's own address is unknown.
func TestCatchUpOfAnotherGitLab(t *testing.T) {
	for _, c := range []struct {
		name    string
		asked   bool   // GitLab was asked for its own address
		of      string // base URL in the body; "" for GitLab's own
		retries int
	}{
		{"of the same GitLab", true, "", 1},
		{"of another GitLab", true, "https://gitlab.example.com", 0},
		{"of a GitLab that may be the same", false, "https://gitlab.example.com", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			if c.asked {
				if err := o.client.LearnAddress(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			pipeline := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			o.gitlab.Flush()
			o.waitKnown()
			o.work()
			o.off.Store(true)
			job := o.gitlab.Latest(pipeline.ID, "rspec")
			o.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
			o.gitlab.Flush()
			body := o.gitlab.JobHookBody(job.ID)
			if c.of != "" {
				body = bytes.ReplaceAll(body, []byte(o.gitlab.URL()), []byte(c.of))
			}
			o.clock.Advance(10 * time.Minute)
			o.catchUpWith(restoredList{emptyHistory{newHistory(o.client)}, body, o.clock.Now()})
			if c.asked {
				o.work()
			}
			depth, err := o.db.Depth(t.Context())
			if want := map[bool]int{true: 0, false: 1}[c.asked]; err != nil || depth.Due+depth.Waiting != want {
				t.Errorf("%+v records are queued (%v), want %d", depth, err, want)
			}
			if n := o.gitlab.Count("POST", "/retry"); n != c.retries {
				t.Errorf("%d retries, want %d", n, c.retries)
			}
		})
	}
}
