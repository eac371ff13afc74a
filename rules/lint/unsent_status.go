package lint

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var unsentStatus = Check{
	ID:    "unsent-status",
	whole: true,
	Doc: `GitLab sends no job event when a job becomes manual, scheduled or skipped. Only
catch-up finds such jobs, minutes later.

Write the rule ` + "`on: pipeline`" + ` and read pipeline.jobs:

    jobs: filter(pipeline.jobs, .status == "manual")`,
	rule: func(p *pass) {
		if p.onlyUnsent() {
			p.warnAt(schema.Value(p.rule.Node, "if"), "GitLab sends no job event when a job becomes manual, scheduled or skipped, so only catch-up finds such jobs, minutes later: write the rule `on: pipeline`, and use pipeline.jobs")
		}
	},
}

// onlyUnsent reports whether the rule is for job events and matches only jobs
// for which GitLab sends no event.
func (p *pass) onlyUnsent() bool {
	condition := p.condition()
	return p.rule.On == event.KindJob && p.satisfiable(assumption{condition, true}) && p.implies(condition, unsent)
}

// unsent matches the jobs for which GitLab sends no Job Hook.
var unsent = expression.JobFieldIn("status", "manual", "scheduled", "skipped")
