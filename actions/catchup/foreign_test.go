package catchup_test

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/webhook"
)

// restoredList is a GitLab whose list of failed deliveries has one body.
type restoredList struct {
	emptyHistory
	body []byte
	at   time.Time
}

func (restoredList) ProjectHooks(context.Context, int64) ([]gitlab.Hook, error) {
	return []gitlab.Hook{{Project: 1, ID: 1, URL: "https://pipesteward.example.com" + webhook.Path, JobEvents: true}}, nil
}

func (l restoredList) FailedDeliveries(context.Context, gitlab.Hook) iter.Seq2[gitlab.HookDelivery, error] {
	return func(yield func(gitlab.HookDelivery, error) bool) {
		yield(gitlab.HookDelivery{ID: 1, At: l.at, Key: "key", Body: l.body}, nil)
	}
}

// A list of failed deliveries that came with another GitLab's backup is not
// replayed; nor is anything of it acted on while GitLab's own address is unknown.
func TestOfAnotherGitLab(t *testing.T) {
	for _, c := range []struct {
		name    string
		learned bool   // the client knows GitLab's own address
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
			if c.learned {
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
			o.catchUpWith(restoredList{emptyHistory{o.client}, body, o.clock.Now()})
			if c.learned {
				o.work()
			}
			depth, err := o.db.Depth(t.Context())
			if want := map[bool]int{true: 0, false: 1}[c.learned]; err != nil || depth.Due+depth.Waiting != want {
				t.Errorf("%+v records are queued (%v), want %d", depth, err, want)
			}
			if n := o.gitlab.Count("POST", "/retry"); n != c.retries {
				t.Errorf("%d retries, want %d", n, c.retries)
			}
		})
	}
}
