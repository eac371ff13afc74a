package lint

import (
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var neverDue = Check{
	ID: "never-due",
	Doc: `The cron expression names a day that no calendar has, like February 30th, so the rule
never runs.`,
	rule: func(p *pass) {
		anyTime := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if p.rule.On == event.KindSchedule && p.rule.Schedule.Times != nil && p.rule.Schedule.Next(anyTime).IsZero() {
			p.warnAt(schema.Resolve(schema.Value(schema.Resolve(schema.Value(p.rule.Node, "schedule")), "cron")), "this cron expression never matches: there is no such day")
		}
	},
}
