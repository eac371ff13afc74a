package lint

import "github.com/pipesteward/pipesteward/rules/event"

var attemptsOverLimit = Check{
	ID:  "attempts-over-limit",
	Doc: `A retry's ` + "`max_attempts`" + ` is larger than ` + "`limits.per_job`" + `, which ends the retries earlier.`,
	all: func(every []*pass) {
		for _, p := range every {
			for _, a := range p.rule.Actions {
				if most := p.set.Limits.PerJob; a.Verb == event.VerbRetry && a.MaxAttempts > most {
					p.warnAt(p.rule.Node, "max_attempts: %d is never reached, because limits.per_job is %d, for all runs of a job in a pipeline: raise that, or lower this", a.MaxAttempts, most)
				}
			}
		}
	},
}
