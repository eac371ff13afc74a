package chatops

import "github.com/pipesteward/pipesteward/rules/event"

// TargetOf returns what the rights on an event's job or pipeline depend on. Only Job Hooks
// tell that a job deploys to no environment. The user of an event is the owner of its job
// once that has ended: until then another user may play it, and of another run of the job
// nothing but its id is known.
func TargetOf(e event.Event) Target {
	t := Target{Project: e.Project.ID, Ref: e.Pipeline.Ref, Tag: e.Pipeline.Tag, Environment: e.Job.Environment.Name, Tier: e.Job.Environment.Tier}
	hook := e.Meta.Source == event.SourceWebhook || e.Meta.Source == event.SourceReplay
	t.NoEnvironment = hook && e.Meta.Kind == event.KindJob && t.Environment == ""
	if event.Ended(e.Job.Status) {
		t.Owner = e.User.ID
	}
	return t
}
