package times

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// Limits on when messages are gathered.
const (
	minGroupWait     = time.Second
	maxGroupWait     = time.Hour
	minGroupInterval = 10 * time.Second
	maxGroupInterval = 24 * time.Hour
)

// DefaultGroup is when messages are gathered if no file says it.
func DefaultGroup() event.Group {
	return event.Group{Burst: 5, Wait: event.Duration(30 * time.Second), Interval: event.Duration(time.Minute)}
}

// Group reads when messages are gathered: a mapping, or false for never.
func Group(to *event.Group) schema.Schema {
	*to = DefaultGroup()
	keys := schema.Mapping("group", schema.Fields{
		schema.Key("burst", "How many messages of different pipelines may come to a channel within `wait`; those that follow are gathered.", schema.PositiveInt(&to.Burst)),
		schema.Key("wait", "In which time: 1s to 1h.", schema.DurationBetween(&to.Wait, minGroupWait, maxGroupWait)),
		schema.Key("interval", "How often what was gathered is sent as one message, a digest: 10s to 1d.", schema.DurationBetween(&to.Interval, minGroupInterval, maxGroupInterval)),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if schema.IsText(n) && n.ShortTag() == "!!bool" && n.Value == "false" {
				*to = event.Group{}
				return
			}
			if n.Kind != yaml.MappingNode {
				f.FailAt(n, "%s must be false, or a mapping like `group: {burst: 5, wait: 30s, interval: 1m}`", what)
				return
			}
			keys.Read(f, n, what)
		},
		JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{{"const": false}, keys.JSON()}} },
	}
}
