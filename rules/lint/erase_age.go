package lint

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var eraseAge = Check{
	ID:    "erase-age",
	whole: true,
	Doc: `An erase leaves jobs alone that finished less than 24 hours ago, unless ` + "`" + `older_than` + "`" + `
says otherwise. On an event jobs have mostly just finished, so the erase does nothing.`,
	rule: func(p *pass) {
		for _, a := range p.effective() {
			if a.Verb == event.VerbErase && p.rule.On != event.KindSchedule && !schema.Has(a.parameters, "older_than") && !p.reads(a, "finished_at") {
				p.warnAt(a.verb, "erase leaves jobs alone that finished less than 24h ago, and on an event they have mostly just finished: write erase: {older_than: 0s}, or the age that you mean")
			}
		}
	},
}
