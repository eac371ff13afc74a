package times

import (
	"regexp"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// clockTime matches a time of the day.
var clockTime = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// Quiet reads quiet hours; except reads the outcomes for which they do not count.
func Quiet(to *rules.Quiet, except schema.Schema) schema.Schema {
	const howTo = "write the hours and the minutes, like \"20:00\""
	h := &to.Hours
	h.Timezone = "UTC"
	keys := schema.Mapping("quiet", schema.Fields{
		schema.Key("from", "When the quiet hours begin: a time of the day, like \"20:00\".", schema.Required(schema.Matching(&h.From, clockTime, howTo), "when do the quiet hours begin? Write `from`, like `from: \"20:00\"`")),
		schema.Key("to", "When they end: the next such time of the day.", schema.Required(schema.Matching(&h.To, clockTime, howTo), "when do the quiet hours end? Write `to`, like `to: \"07:00\"`")),
		schema.Key("timezone", "The time zone of both, as the IANA database names it, like Europe/Berlin.", timezone(&h.Timezone)),
		schema.Key("days", "The days of the week on which they begin. Without it: each day.", schema.Distinct(schema.List(&h.Days, 1, func(day *string) schema.Schema { return schema.OneOf(day, event.Weekdays) }))),
		schema.Key("except", "The outcomes whose notifications do not wait. Without it: all wait.", except),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			if h.From != "" && h.From == h.To {
				f.FailAt(n, "the quiet hours begin and end at %s: give them another end, or leave them out", h.From)
			}
			if h.From == "" || h.To == "" { // there is a mistake
				*to = rules.Quiet{}
			}
		},
		JSON: keys.JSON,
	}
}
