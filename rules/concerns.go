package rules

import (
	"github.com/pipesteward/pipesteward/rules/condition"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Concerns reports whether the rule may match an event of the project: its condition,
// as far as it reads the project's path, namespace or name, and its schedule do not
// exclude the project. It evaluates nothing else, so the result is never too narrow.
func (r *Rule) Concerns(p event.Project) bool {
	if r.On == event.KindSchedule && !r.Schedule.selects(p) {
		return false
	}
	return r.Condition == nil || condition.MayHold(r.Condition.Node(), p)
}
