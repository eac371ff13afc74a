package rulefile

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// unusable is the channel in place of one with a mistake, which has been recorded: it
// is not missing, too.
const unusable = "?"

// slackChannel is the address of a channel.
func slackChannel(channel string) event.Address {
	return event.Address{Receiver: event.ReceiverSlack, Channel: channel}
}

// channel reads the name or the id of a Slack channel.
func channel(to *string) schema.Schema {
	text := schema.Text(to)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			*to = unusable
			switch {
			case n.Kind == yaml.SequenceNode:
				f.FailAt(n, "%s must be one channel: for each further one, write another entry of notify", what)
			case !schema.IsText(n):
				text.Read(f, n, what)
			case strings.Contains(n.Value, "{{"):
				f.FailAt(n, "a channel can't have expressions yet: write its name, like \"#ci\", or its id, like C024BE91L")
			case strings.Contains(n.Value, "://"):
				f.FailAt(n, "%q is a URL: write the channel's name, like \"#ci\", or its id, like C024BE91L", n.Value)
			case strings.ContainsAny(n.Value, " \t\n"):
				f.FailAt(n, "the name of a Slack channel has no spaces: write %q, or the channel's id, like C024BE91L", strings.Join(strings.Fields(strings.Replace(n.Value, "# ", "#", 1)), "-"))
			default:
				*to = n.Value
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "pattern": `^[^\s{]*$`} },
	}
}
