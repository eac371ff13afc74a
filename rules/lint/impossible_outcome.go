package lint

import (
	"slices"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var impossibleOutcome = Check{
	ID:    "impossible-outcome",
	whole: true,
	Doc: `` + "`" + `when` + "`" + ` names an outcome that the rule's actions never have: only a retry can end as
gave_up or recovered, and a rule without actions is always done.`,
	rule: func(p *pass) {
		notify := schema.Value(p.rule.Node, "notify")
		if notify == nil {
			return
		}
		retries := slices.ContainsFunc(p.rule.Actions, func(a rules.Action) bool { return a.Verb == event.VerbRetry || a.Verb == event.VerbRetryPipeline })
		for _, entry := range schema.Resolve(notify).Content {
			when := schema.Value(schema.Resolve(entry), "when")
			if when == nil {
				continue
			}
			for _, item := range schema.Resolve(when).Content {
				switch outcome := schema.Resolve(item).Value; {
				case len(p.rule.Actions) == 0 && outcome != event.ResultDone && outcome != event.ResultDryRun:
					p.warnAt(item, "a rule without actions is never %s: its outcome is done (or dry_run) whenever it matches", outcome)
				case !retries && (outcome == event.ResultGaveUp || outcome == event.ResultRecovered):
					p.warnAt(item, "only a retry can end as %s, and the rule has none", outcome)
				}
			}
		}
	},
}
