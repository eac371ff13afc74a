// Package times reads when things happen by a rule file: schedules, quiet hours, and when
// messages are gathered.
package times

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// Schedule reads the schedule of a rule.
func Schedule(s *rules.Schedule) schema.Schema {
	*s = rules.Schedule{Timezone: "UTC", Scope: []string{"success", "failed", "canceled"}, Missed: rules.MissedRun}
	keys := schema.Mapping("schedule", append(When(s),
		schema.Key("projects", "Which projects: ids, paths, globs of paths, or paths of groups, which select all projects in them and in their subgroups.", schema.Required(schema.Distinct(schema.List(&s.Projects, 1, Projects)), "which `projects`? Write ids, paths, globs or groups, like `projects: [\"platform/*\"]`")),
		schema.Key("scope", "The statuses of the jobs to evaluate.", schema.Distinct(schema.List(&s.Scope, 1, func(to *string) schema.Schema { return schema.OneOf(to, event.Statuses) }))),
		schema.Key("missed", "What happens to a run that was due while no Pipesteward was running: `run` makes up for all missed runs with one run; `skip` waits for the next.", schema.OneOf(&s.Missed, []string{rules.MissedRun, rules.MissedSkip})),
	))
	return keys
}

// When returns the keys of the times of a schedule.
func When(s *rules.Schedule) schema.Fields {
	return schema.Fields{
		schema.Key("timezone", "The time zone of `cron`, as the IANA database names it, like Europe/Berlin.", timezone(&s.Timezone)),
		schema.Key("cron", "When to run: minute, hour, day of the month, month and day of the week, like \"0 3 * * *\" for each night at three; or @hourly, @daily, @weekly, @monthly. Where both days are given, either does.", schema.Required(cronSchema(s), "when? Give it a `cron`, like `cron: \"0 3 * * *\"`")),
	}
}

// Projects reads a project's id, or a glob of paths.
func Projects(to *string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			schema.Text(to).Read(f, n, what)
			if err := rules.CheckProjects(*to); err != nil && schema.IsText(n) {
				f.FailAt(n, "%v", err)
			}
		},
		JSON: func() schema.JSON {
			return schema.JSON{"type": []string{"string", "integer"}, "minLength": 1, "minimum": 1}
		},
	}
}

func timezone(to *string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			name := *to
			schema.Text(&name).Read(f, n, what)
			if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
				f.FailAt(n, "%q is not a time zone: write UTC, or one like Europe/Berlin", name)
				return
			}
			*to = name
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "default": *to} },
	}
}

// cronSchema reads the times. The time zone has been read before.
func cronSchema(s *rules.Schedule) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			schema.Text(&s.Cron).Read(f, n, what)
			if !schema.IsText(n) {
				return
			}
			times, err := rules.ParseCron(s.Cron, s.Timezone)
			if err != nil {
				f.FailAt(n, "cron: %v", err)
				return
			}
			s.Times = times
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "minLength": 1} },
	}
}
