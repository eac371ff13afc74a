package rulefile

import (
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// How long a play waits for its confirmation, unless the rule says otherwise, and what a
// rule may say. The ids of a decision's records, and what is kept of its question, outlive
// the longest wait.
const (
	defaultConfirmWithin = 24 * time.Hour
	minConfirmWithin     = time.Minute
	maxConfirmWithin     = 7 * 24 * time.Hour
)

const withinWithoutConfirm = "`confirm_within` is how long a play waits for its confirmation: say where with `confirm: \"#deploys\"`, or omit it"

// confirmIn matches where people can be asked: a name, which may have spaces that another
// check reports, an id, and the author.
var confirmIn = regexp.MustCompile(`^(#[^#,]+|[CDG][A-Z0-9]{8,}|` + event.ChannelAuthor + `|.* .*)$`)

// reviewConfirm reports a time for a confirmation that is not wanted.
func reviewConfirm(f *schema.Document, parameters *yaml.Node) {
	if within := schema.Value(parameters, "confirm_within"); within != nil && !schema.Has(parameters, "confirm") {
		f.FailAt(within, "%s", withinWithoutConfirm)
	}
}

// confirmChannel reads the channel in which a play must be confirmed. Only Slack has
// buttons that answer.
func (rd *reader) confirmChannel(a *rules.Action, purpose func() expression.Purpose) schema.Schema {
	channel := rd.channel(&a.Confirm, purpose)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			isReceiver := func(name string) bool {
				return slices.ContainsFunc(rd.set.receivers, func(d receiver.Definition) bool { return d.Name == name })
			}
			switch {
			case n.Kind == yaml.MappingNode:
				f.FailAt(n, "%s must be one Slack channel, like \"#deploys\": only there are buttons to answer with", what)
			case n.Kind == yaml.SequenceNode:
				f.FailAt(n, "%s must be one Slack channel: one answer is enough, wherever it is given", what)
			case schema.IsText(n) && isReceiver(n.Value):
				f.FailAt(n, "%q is a receiver in `receivers`, where nobody can answer: %s must be a Slack channel, like \"#deploys\"", n.Value, what)
			case schema.IsText(n) && (n.Value == "" || n.Value == "#"):
				f.FailAt(n, "%s is empty: write a Slack channel, like \"#deploys\", or omit it", what)
			case n.Value == event.WaitNone || n.Value == "false":
				f.FailAt(n, "%s is a Slack channel: omit it where nobody must confirm", what)
			case n.Value == "true":
				f.FailAt(n, "%s must say where people are asked: write a Slack channel, like \"#deploys\"", what)
			case schema.IsText(n) && !hasExpressions(n) && !confirmIn.MatchString(n.Value):
				f.FailAt(n, "%q is not one Slack channel: write its name with #, like \"#deploys\", its id, like C024BE91L, or `author`", n.Value)
			default:
				a.ConfirmWithin = event.Duration(defaultConfirmWithin)
				channel.Read(f, n, what)
			}
		},
		JSON: func() schema.JSON {
			return schema.JSON{"type": "string", "pattern": "^(#" + namePattern + `|[CDG][A-Z0-9]{8,}|author|.*\{\{.*\}\}.*)$`}
		},
	}
}

// confirmWithin reads how long a play waits for its confirmation. The default is for plays
// that have `confirm`, which is read before.
func confirmWithin(a *rules.Action) schema.Schema {
	within := event.Duration(defaultConfirmWithin)
	s := schema.DurationBetween(&within, minConfirmWithin, maxConfirmWithin)
	read := s.Read
	s.Read = func(f *schema.Document, n *yaml.Node, what string) {
		read(f, n, what)
		a.ConfirmWithin = within
	}
	return s
}
