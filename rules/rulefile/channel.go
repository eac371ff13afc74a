package rulefile

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// unusable is the channel or the receiver in place of one with a mistake, which has been
// recorded: it is not missing, too.
const unusable = "?"

// slackChannel is the address of a channel.
func slackChannel(channel string) event.Address {
	return event.Address{Receiver: event.ReceiverSlack, Channel: channel}
}

// defaultChannel reads `channel` in `defaults`: its expressions are read for each rule
// that uses it.
func (rd *reader) defaultChannel(d *defaults) schema.Schema {
	fixed := channel(new(string))
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			d.channel = n
			if !hasExpressions(n) {
				fixed.Read(f, n, what)
			}
		},
		JSON: channelOrTemplate,
	}
}

// address returns the address in `defaults`; zero if there is none, or not the same for
// all events.
func (d *defaults) address() event.Address {
	switch {
	case d.receiver != "":
		return event.Address{Receiver: d.receiver}
	case d.channel == nil || !schema.IsText(d.channel) || hasExpressions(d.channel) || d.channel.Value == event.ChannelAuthor:
		return event.Address{}
	}
	return slackChannel(d.channel.Value)
}

// hasExpressions reports whether a node is a text with expressions.
func hasExpressions(n *yaml.Node) bool { return schema.IsText(n) && strings.Contains(n.Value, "{{") }

// channel reads the channel of an entry of notify.
func (rd *reader) channel(to *rules.Channel, purpose func() expression.Purpose) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if !hasExpressions(n) {
				channel(&to.Source).Read(f, n, what)
				return
			}
			to.Source, to.Template = n.Value, new(rd.parseTemplate(f, n, purpose()))
			switch text := expressionBraces.ReplaceAllString(n.Value, ""); {
			case strings.ContainsAny(text, " \t\n,"):
				f.FailAt(n, "the name of a Slack channel has no spaces and no commas: write them as -")
			case !besideExpressions.MatchString(text):
				f.FailAt(n, "the name of a Slack channel has lower-case letters, digits, - and _ only, after one #: %q has more beside its expressions", n.Value)
			}
		},
		JSON: channelOrTemplate,
	}
}

// expressionBraces matches an expression in a text.
var expressionBraces = regexp.MustCompile(`\{\{.*?\}\}`)

// besideExpressions matches what stands beside the expressions in the name of a channel.
var besideExpressions = regexp.MustCompile(`^#?[\p{Ll}\p{Lo}\p{Lm}\p{M}\p{N}_-]*$`)

// channelPattern matches in JSON Schemas what may be a channel, and nothing.
const channelPattern = `|#?` + namePattern + `|[CDGUW][A-Z0-9]{8,}`

// namePattern matches there what may be the name of one.
const namePattern = `[^\s{#,@!A-Z]{1,80}`

func channelOrTemplate() schema.JSON {
	return schema.JSON{"type": "string", "pattern": "^(" + channelPattern + `|.*\{\{.*\}\}.*)$`}
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
				f.FailAt(n, "this is about no single project, so its channel has no expressions: write its name, like \"#ci\", or its id, like C024BE91L")
			case strings.Contains(n.Value, "://"):
				f.FailAt(n, "%q is a URL: write the channel's name, like \"#ci\", or its id, like C024BE91L", n.Value)
			case strings.ContainsAny(n.Value, " \t\n"):
				f.FailAt(n, "the name of a Slack channel has no spaces: write %q, or the channel's id, like C024BE91L", strings.Join(strings.Fields(strings.Replace(n.Value, "# ", "#", 1)), "-"))
			case n.Value == "": // who needs one says so
				*to = ""
			default:
				if err := rules.CheckChannel(n.Value); err != nil {
					f.FailAt(n, "%s", err)
					return
				}
				*to = n.Value
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "pattern": "^(" + channelPattern + ")$"} },
	}
}
