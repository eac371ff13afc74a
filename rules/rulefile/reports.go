package rulefile

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile/times"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// A report is about a time from minSpan to maxSpan, for which the journal keeps decisions.
const (
	minSpan     = time.Hour
	maxSpan     = 30 * 24 * time.Hour
	defaultSpan = 7 * 24 * time.Hour
)

// reportsSchema reads `reports`. d are the file's defaults.
func (s *set) reportsSchema(d *defaults) schema.Schema {
	var list []rules.Report
	keys := schema.List(&list, 1, func(r *rules.Report) schema.Schema { return s.report(r, d) })
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			s.reports = append(s.reports, list...)
		},
		JSON: keys.JSON,
	}
}

func (s *set) report(r *rules.Report, d *defaults) schema.Schema {
	*r = rules.Report{Schedule: rules.Schedule{Timezone: "UTC"}, Span: event.Duration(defaultSpan)}
	keys := exclusive(schema.Mapping("a report", append(schema.Fields{
		schema.Key("name", "What the report is called. No two reports have the same name.", schema.Required(schema.Matching(&r.Name, RuleName, "a name is one line of 1 to 100 characters, with no white space around it"), "a report needs a name")),
		schema.Key("span", "How much time it is about: 1h to 30d.", schema.DurationBetween(&r.Span, minSpan, maxSpan)),
		schema.Key("project", "Only decisions of the projects whose path this glob matches. Without it: all.", times.Projects(&r.Project)),
		schema.Key("dry_run", "Report what would have been done, in place of what was done.", schema.Bool(&r.DryRun)),
		schema.Key("channel", "The Slack channel to send it to. Without it: the one in `defaults`.", channel(&r.To.Channel)),
		schema.Key("receiver", "The receiver to send it to, by its name in `receivers`. Without it: the one in `defaults`.", s.receiverName(&r.To.Receiver)),
	}, times.When(&r.Schedule)...)), "a report")
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			r.To = d.address()
			switch {
			case schema.Has(n, "receiver"):
				r.To = event.Address{}
			case schema.Has(n, "channel"):
				r.To = slackChannel("")
			}
			keys.Read(f, n, what)
			r.Language = s.languageOf(r.To.Receiver, d.language)
			if r.To == (event.Address{}) && n.Kind == yaml.MappingNode {
				f.FailAt(n, "whom to send the report to? Give it a `channel` or a `receiver`, or `defaults` one without expressions")
			}
			if r.Name == "" {
				return
			}
			name := "report " + r.Name
			if first := s.places[name]; first != "" {
				f.FailAt(schema.Value(n, "name"), "the report %q is already in %s", r.Name, first)
				return
			}
			s.places[name] = f.Place(n)
		},
		JSON: keys.JSON,
	}
}
