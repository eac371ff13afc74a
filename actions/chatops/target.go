package chatops

import (
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TargetOf returns what the rights on an event's job depend on. Only Job Hooks, and Pipeline
// Hooks of the jobs that they list, tell that a job deploys to no environment. The user of an
// event of a job is the owner of that job once it has ended: until then another user may play
// it, and of another run of the job nothing but its id is known. The user of a Pipeline Hook
// started the pipeline.
func TargetOf(e event.Event) Target {
	t := TargetOfPipeline(e)
	t.add(e.Job.Environment)
	listed := func(j event.Job) bool { return j.ID == e.Job.ID }
	t.AllEnvironments = len(t.Environments) > 0 || ofHook(e) && e.Meta.Kind == event.KindJob || KnowsEnvironments(e) && slices.ContainsFunc(e.Pipeline.Jobs, listed)
	if e.Meta.Kind != event.KindPipeline && event.Ended(e.Job.Status) {
		t.Owner = e.User.ID
	}
	return t
}

// TargetOfPipeline returns what the rights on an event's pipeline depend on, whose jobs may
// deploy to any environment.
func TargetOfPipeline(e event.Event) Target {
	return Target{Project: e.Project.ID, Ref: e.Pipeline.Ref, Tag: e.Pipeline.Tag}
}

// TargetOfJobs returns what the rights on those jobs of an event's pipeline depend on that
// have the names.
func TargetOfJobs(e event.Event, names []string) Target {
	t := TargetOfPipeline(e)
	t.AllEnvironments = KnowsEnvironments(e)
	for _, name := range names {
		i := slices.IndexFunc(e.Pipeline.Jobs, func(j event.Job) bool { return j.Name == name })
		if i < 0 {
			t.AllEnvironments = false
			continue
		}
		t.add(e.Pipeline.Jobs[i].Environment)
	}
	return t
}

// KnowsEnvironments reports whether an event tells to which environments the jobs of its
// pipeline deploy: only Pipeline Hooks do.
func KnowsEnvironments(e event.Event) bool { return ofHook(e) && e.Meta.Kind == event.KindPipeline }

func ofHook(e event.Event) bool {
	return e.Meta.Source == event.SourceWebhook || e.Meta.Source == event.SourceReplay
}

// add adds an environment, if it is one, once.
func (t *Target) add(e event.Environment) {
	if e.Action = ""; e.Name != "" && !slices.Contains(t.Environments, e) {
		t.Environments = append(t.Environments, e)
	}
}
