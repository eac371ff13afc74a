package lint

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var manyAttempts = Check{
	ID:    "many-attempts",
	whole: true,
	Doc: `A job that failed ten times hardly passes the next time, and occupies a runner each
time. Fewer attempts with a longer delay pass more often.`,
	rule: func(p *pass) {
		const most = 10
		for _, a := range p.effective() {
			if a.Verb == event.VerbRetry && a.MaxAttempts > most {
				p.warnAt(schema.Value(a.parameters, "max_attempts"), "a job that failed %d times will hardly pass after that, and it occupies a runner each time: write max_attempts: 3, with a longer delay", most)
			}
		}
	},
}
