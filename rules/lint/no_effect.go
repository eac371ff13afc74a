package lint

import (
	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

var noEffect = Check{
	ID:    "no-effect",
	whole: true,
	Doc: `The condition selects only jobs or pipelines that the action can't change: a retry of
jobs that passed, a cancel of jobs that have ended.`,
	rule: func(p *pass) {
		for a := range p.actions() {
			if p.hasNoEffect(a) {
				p.warnAt(a.verb, "%s does nothing here: it is for %s, and the condition selects others", a.Verb, usefulTo[a.Verb])
			}
		}
	},
}

// hasNoEffect reports whether an action changes nothing for any event that the
// rule matches.
func (p *pass) hasNoEffect(a actionAt) bool {
	condition, useless := p.condition(), uselessTo[a.Verb]
	switch {
	case event.OfPipeline(a.Verb):
		useless = uselessToPipelines[a.Verb]
	case p.rule.On != event.KindJob || p.onlyUnsent():
		return false
	}
	return useless != nil && a.OfEvent() && p.satisfiable(assumption{condition, true}) && p.implies(condition, useless)
}

// uselessTo contains, by verb, the condition on jobs for which an action has
// no effect, now or later.
var uselessTo = map[string]ast.Node{
	event.VerbRetry:  expression.JobFieldIn("status", "success", "canceled", "skipped"),
	event.VerbPlay:   expression.JobFieldIn("status", "success", "failed", "canceled", "skipped"),
	event.VerbCancel: expression.JobFieldIn("status", "success", "failed", "canceled", "skipped"),
	event.VerbErase:  expression.JobFieldIn("status", "created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running"),
}

// uselessToPipelines contains, by verb, the condition on pipelines for which
// an action on the pipeline has no effect.
var uselessToPipelines = map[string]ast.Node{
	event.VerbRetryPipeline:  expression.FieldIn("pipeline", "status", "success", "skipped"),
	event.VerbCancelPipeline: expression.FieldIn("pipeline", "status", "success", "failed", "canceled", "skipped"),
}

// usefulTo describes, by verb, the jobs or pipelines that an action is for.
var usefulTo = map[string]string{
	event.VerbRetry:  "jobs that failed",
	event.VerbPlay:   "jobs that wait to be played",
	event.VerbCancel: "jobs that have not ended",
	event.VerbErase:  "jobs that have ended",

	event.VerbRetryPipeline:  "pipelines that failed or were canceled",
	event.VerbCancelPipeline: "pipelines that have not ended",
}
