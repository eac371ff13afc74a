package lint

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var learningOff = Check{
	ID:  "learning-off",
	Doc: `With ` + "`" + `learning: off` + "`" + `, no result of a retry is remembered, so ` + "`" + `min_pass_rate` + "`" + ` skips none.`,
	all: func(every []*pass) {
		for _, p := range every {
			for a := range p.actions() {
				if a.Verb == event.VerbRetry && a.MinPassRate > 0 && !p.set.Learns {
					p.warnAt(schema.Value(a.parameters, "min_pass_rate"), "min_pass_rate has no effect with `learning: off`: leave one of them out")
				}
			}
		}
	},
}
