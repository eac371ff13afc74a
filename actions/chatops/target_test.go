package chatops_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/rules/event"
)

// What is not known of a job is told apart from what the job does not have.
func TestTargetOf(t *testing.T) {
	t.Parallel()
	production := event.Environment{Name: "production/eu", Action: "start", Tier: "production"}
	deploys := []event.Environment{{Name: "production/eu", Tier: "production"}}
	for name, c := range map[string]struct {
		kind, source string
		job          event.Job
		want         chatops.Target
	}{
		"a hook":                      {event.KindJob, event.SourceWebhook, event.Job{ID: 1, Status: "failed"}, chatops.Target{AllEnvironments: true, Owner: 5}},
		"a hook that was sent again":  {event.KindJob, event.SourceReplay, event.Job{ID: 1, Status: "failed"}, chatops.Target{AllEnvironments: true, Owner: 5}},
		"a hook of a deployment":      {event.KindJob, event.SourceWebhook, event.Job{ID: 1, Status: "failed", Environment: production}, chatops.Target{Environments: deploys, AllEnvironments: true, Owner: 5}},
		"a hook of a manual job":      {event.KindJob, event.SourceWebhook, event.Job{ID: 1, Status: "manual"}, chatops.Target{AllEnvironments: true}},
		"another run of the job":      {event.KindJob, event.SourceWebhook, event.Job{ID: 2}, chatops.Target{AllEnvironments: true}},
		"the API":                     {event.KindJob, event.SourceCatchUp, event.Job{ID: 1, Status: "failed"}, chatops.Target{Owner: 5}},
		"a schedule":                  {event.KindSchedule, event.SourceSchedule, event.Job{ID: 1, Status: "success"}, chatops.Target{Owner: 5}},
		"a press on a deployment":     {event.KindJob, event.SourceButton, event.Job{ID: 1, Status: "failed", Environment: production}, chatops.Target{Environments: deploys, AllEnvironments: true, Owner: 5}},
		"a pipeline":                  {event.KindPipeline, event.SourceWebhook, event.Job{}, chatops.Target{}},
		"a job that a pipeline lists": {event.KindPipeline, event.SourceWebhook, event.Job{ID: 4, Status: "success"}, chatops.Target{AllEnvironments: true}},
		"a job of a pipeline":         {event.KindPipeline, event.SourceWebhook, event.Job{ID: 3}, chatops.Target{}},
	} {
		c.want.Project, c.want.Ref = 7, "main"
		e := event.Event{Meta: event.Meta{Kind: c.kind, Source: c.source}, Project: event.Project{ID: 7}, Pipeline: event.Pipeline{Ref: "main", Jobs: []event.Job{{ID: 4}}}, Job: c.job, User: event.User{ID: 5}}
		if diff := cmp.Diff(c.want, chatops.TargetOf(e)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Only the hook of a pipeline tells where its jobs deploy to, each environment once; of a job
// that it lacks, nothing is known.
func TestTargetOfJobs(t *testing.T) {
	t.Parallel()
	production, qa := event.Environment{Name: "production", Tier: "production"}, event.Environment{Name: "qa", Tier: "testing"}
	e := event.Event{Meta: event.Meta{Kind: event.KindPipeline, Source: event.SourceWebhook}, Project: event.Project{ID: 7}, Pipeline: event.Pipeline{Ref: "v1", Tag: true, Jobs: []event.Job{
		{Name: "test"}, {Name: "deploy", Environment: event.Environment{Name: "production", Action: "start", Tier: "production"}}, {Name: "verify", Environment: event.Environment{Name: "production", Action: "verify", Tier: "production"}}, {Name: "qa", Environment: qa},
	}}}
	fromAPI, ofJob := e, e
	fromAPI.Meta.Source, ofJob.Meta.Kind = event.SourceCatchUp, event.KindJob
	for name, c := range map[string]struct {
		of    event.Event
		names []string
		want  chatops.Target
	}{
		"none deploys":          {e, []string{"test"}, chatops.Target{AllEnvironments: true}},
		"some deploy":           {e, []string{"verify", "test", "deploy", "qa"}, chatops.Target{Environments: []event.Environment{production, qa}, AllEnvironments: true}},
		"one is not known":      {e, []string{"deploy", "later"}, chatops.Target{Environments: []event.Environment{production}}},
		"nothing is run":        {e, nil, chatops.Target{AllEnvironments: true}},
		"the API does not tell": {fromAPI, []string{"test"}, chatops.Target{}},
		"the hook of a job":     {ofJob, []string{"test"}, chatops.Target{}},
	} {
		c.want.Project, c.want.Ref, c.want.Tag = 7, "v1", true
		if diff := cmp.Diff(c.want, chatops.TargetOfJobs(c.of, c.names)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
