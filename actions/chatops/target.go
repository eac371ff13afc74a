package chatops

import "github.com/pipesteward/pipesteward/rules/event"

// TargetOf returns what the rights on an event's job or pipeline depend on.
func TargetOf(e event.Event) Target {
	return Target{Project: e.Project.ID, Ref: e.Pipeline.Ref, Tag: e.Pipeline.Tag, Environment: e.Job.Environment.Name, Owner: e.User.ID}
}
