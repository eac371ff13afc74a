package lint

import "github.com/pipesteward/pipesteward/rules/event"

var unlimitedRetry = Check{
	ID:    "unlimited-retry",
	whole: true,
	Doc: `Nothing in the rule looks at why a job failed, so jobs whose script failed are retried
as well: a broken test runs again for nothing.

    if: failed_with("runner_system_failure", "stuck_or_timeout_failure")`,
	rule: func(p *pass) {
		for _, a := range p.effective() {
			if a.Verb != event.VerbRetry || p.reads(a, "failure_reason", "failure_class", "failed_with", "log", "log_excerpt", "bridges") {
				continue
			}
			add := `add failed_with("runner_system_failure", "stuck_or_timeout_failure") to the condition, or failed_with("script_failure") if those are meant`
			if p.rule.On == event.KindPipeline {
				add = `use .failure_class in jobs, like filter(pipeline.jobs, .failure_class in ["runner", "stuck"]), with "script" if those are meant`
			}
			p.warnAt(a.verb, "jobs whose script failed are retried too, because nothing limits the failure reasons: %s", add)
		}
	},
}
