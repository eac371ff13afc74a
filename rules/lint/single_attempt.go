package lint

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var singleAttempt = Check{
	ID:    "single-attempt",
	whole: true,
	Doc:   `` + "`" + `max_attempts` + "`" + ` counts the first run of a job, so ` + "`" + `max_attempts: 1` + "`" + ` never retries.`,
	rule: func(p *pass) {
		for _, a := range p.effective() {
			if a.Verb == event.VerbRetry && a.MaxAttempts == 1 {
				p.warnAt(schema.Value(a.parameters, "max_attempts"), "max_attempts counts the first run too, so 1 never retries: write 2 for one retry")
			}
		}
	},
}
