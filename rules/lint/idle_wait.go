package lint

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var idleWait = Check{
	ID:    "idle-wait",
	whole: true,
	Doc: `` + "`" + `wait: success` + "`" + ` lets a job wait for the one before it in ` + "`" + `jobs` + "`" + `. Without ` + "`" + `jobs` + "`" + ` the
action is for one job, which waits for none.`,
	rule: func(p *pass) {
		for _, a := range p.effective() {
			if a.Wait == event.WaitSuccess && a.OfEvent() {
				p.warnAt(schema.Value(a.parameters, "wait"), "there is only one job here, so it waits for none: list in `jobs` the jobs to play, in order")
			}
		}
	},
}
