package chatops_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/rules/event"
)

// What is not known of a job is told apart from what the job does not have.
func TestTargetOf(t *testing.T) {
	t.Parallel()
	production := event.Environment{Name: "production/eu", Tier: "production"}
	for name, c := range map[string]struct {
		kind, source string
		job          event.Job
		want         chatops.Target
	}{
		"a hook":                     {event.KindJob, event.SourceWebhook, event.Job{ID: 1, Status: "failed"}, chatops.Target{NoEnvironment: true, Owner: 5}},
		"a hook that was sent again": {event.KindJob, event.SourceReplay, event.Job{ID: 1, Status: "failed"}, chatops.Target{NoEnvironment: true, Owner: 5}},
		"a hook of a deployment":     {event.KindJob, event.SourceWebhook, event.Job{ID: 1, Status: "failed", Environment: production}, chatops.Target{Environment: "production/eu", Tier: "production", Owner: 5}},
		"a hook of a manual job":     {event.KindJob, event.SourceWebhook, event.Job{ID: 1, Status: "manual"}, chatops.Target{NoEnvironment: true}},
		"another run of the job":     {event.KindJob, event.SourceWebhook, event.Job{ID: 2}, chatops.Target{NoEnvironment: true}},
		"the API":                    {event.KindJob, event.SourceCatchUp, event.Job{ID: 1, Status: "failed"}, chatops.Target{Owner: 5}},
		"a schedule":                 {event.KindSchedule, event.SourceSchedule, event.Job{ID: 1, Status: "success"}, chatops.Target{Owner: 5}},
		"a press on a deployment":    {event.KindJob, event.SourceButton, event.Job{ID: 1, Status: "failed", Environment: production}, chatops.Target{Environment: "production/eu", Tier: "production", Owner: 5}},
		"a pipeline":                 {event.KindPipeline, event.SourceWebhook, event.Job{}, chatops.Target{}},
		"a job of a pipeline":        {event.KindPipeline, event.SourceWebhook, event.Job{ID: 3}, chatops.Target{}},
	} {
		c.want.Project, c.want.Ref = 7, "main"
		e := event.Event{Meta: event.Meta{Kind: c.kind, Source: c.source}, Project: event.Project{ID: 7}, Pipeline: event.Pipeline{Ref: "main"}, Job: c.job, User: event.User{ID: 5}}
		if got := chatops.TargetOf(e); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
