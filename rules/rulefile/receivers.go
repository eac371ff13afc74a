package rulefile

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/rulefile/receivers"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// readReceivers reads the receivers of one file. Those of all files are read before any
// rule, because the rules of every file may name them.
func (s *set) readReceivers(f *schema.Document, root *yaml.Node) {
	if n := schema.Value(root, "receivers"); n != nil {
		var all []receiver.Definition
		schema.List(&all, 1, s.receiver).Read(f, schema.Resolve(n), "receivers")
	}
}

// receiver reads one definition.
func (s *set) receiver(d *receiver.Definition) schema.Schema {
	return receivers.Definition(d, func(f *schema.Document, name *yaml.Node) { s.addReceiver(f, name, *d) })
}

// addReceiver adds a receiver unless its name is taken. n is the node of its name.
func (s *set) addReceiver(f *schema.Document, n *yaml.Node, d receiver.Definition) {
	place := "receiver " + d.Name
	if owner := receivers.Reserved[strings.ToLower(d.Name)]; owner != "" {
		f.FailAt(n, "%q is %s itself: call this receiver something else", d.Name, owner)
		return
	}
	if first, taken := s.places[place]; taken {
		f.FailAt(n, "another receiver has the name %q already, in %s", d.Name, first)
		return
	}
	s.places[place] = f.Place(n)
	s.receivers = append(s.receivers, d)
}

// languageOf returns the language of a receiver; byDefault if it has none of its own.
func (s *set) languageOf(name, byDefault string) string {
	for _, d := range s.receivers {
		if d.Name == name {
			return cmp.Or(d.Language, byDefault)
		}
	}
	return byDefault
}

// receiverName reads the name of a receiver where somebody is notified.
func (s *set) receiverName(to *string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			*to = unusable
			var names []string
			for _, d := range s.receivers {
				names = append(names, d.Name)
			}
			switch {
			case n.Kind == yaml.SequenceNode:
				f.FailAt(n, "%s must be one receiver: for each further one, write another entry of notify", what)
			case !schema.IsText(n):
				f.FailAt(n, "%s must be the name of a receiver%s", what, f.TextHint(n))
			case slices.Contains(names, n.Value):
				*to = n.Value
			case n.Value == event.ReceiverSlack:
				f.FailAt(n, "Slack has channels: write `channel: \"#ci\"` in place of `receiver`")
			case strings.Contains(n.Value, "{{"):
				f.FailAt(n, "the name of a receiver has no expressions: write a rule for each, with the condition in `if`")
			case strings.Contains(n.Value, "://"):
				f.FailAt(n, "this is an address and no receiver's name: give it to a receiver in `receivers`, and write its name here")
			case len(names) == 0:
				f.FailAt(n, "there is no receiver %q: no file has `receivers`, like `receivers: [{name: %s, feishu: {url_file: /run/secrets/feishu}}]`", n.Value, n.Value)
			default:
				f.FailAt(n, "there is no receiver %q%s; there are %s", n.Value, spelling.Suggestion(n.Value, names), schema.Enumerate(names))
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "pattern": receivers.Name.String()} },
	}
}

// oneAddress records that a mapping names both a channel and a receiver.
func oneAddress(f *schema.Document, n *yaml.Node, name string) {
	if schema.Has(n, "channel") && schema.Has(n, "receiver") {
		f.FailAt(schema.Value(n, "receiver"), "%s has a channel of Slack or a receiver, and not both: leave one out", name)
	}
}

// exclusive returns a mapping that has a channel or a receiver.
func exclusive(of schema.Schema, name string) schema.Schema {
	read, toJSON := of.Read, of.JSON
	of.Read = func(f *schema.Document, n *yaml.Node, what string) {
		read(f, n, what)
		oneAddress(f, n, name)
	}
	of.JSON = func() schema.JSON {
		j := toJSON()
		j["not"] = schema.JSON{"required": []string{"channel", "receiver"}}
		return j
	}
	return of
}

// mentionInSlack is the part of the JSON Schema of an entry of notify that says what its
// mention has if it names a channel.
func mentionInSlack() schema.JSON {
	return schema.JSON{
		"if":   schema.JSON{"required": []string{"channel"}},
		"then": schema.JSON{"properties": schema.JSON{"mention": schema.Distinct(schema.List(new([]string), 1, mention)).JSON()}},
	}
}

// mentions reads the list `mention` of an entry of notify, whose receiver is known.
func (s *set) mentions(v *rules.Notify) schema.Schema {
	inSlack := schema.Distinct(schema.List(&v.Mention, 1, mention))
	elsewhere := schema.Distinct(schema.List(&v.Mention, 1, func(to *string) schema.Schema {
		text := schema.Text(to)
		return schema.Schema{
			Read: func(f *schema.Document, n *yaml.Node, what string) {
				text.Read(f, n, what)
				s.checkMention(f, n, v.Receiver, *to)
			},
			JSON: text.JSON,
		}
	}))
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if v.Receiver == event.ReceiverSlack {
				inSlack.Read(f, n, what)
				return
			}
			elsewhere.Read(f, n, what)
		},
		JSON: elsewhere.JSON,
	}
}

// checkMention records what is wrong with an entry of mention for a receiver.
func (s *set) checkMention(f *schema.Document, n *yaml.Node, name, entry string) {
	at := slices.IndexFunc(s.receivers, func(d receiver.Definition) bool { return d.Name == name })
	if at < 0 || s.receivers[at].Kind == "" || entry == "" { // that has been recorded
		return
	}
	if err := receiver.CheckMention(s.receivers[at].Kind, entry); err != nil {
		only := ""
		if entry == event.MentionAuthor || entry == event.MentionTriggerer {
			only = "only Slack finds the " + entry + " by their e-mail address: "
		}
		f.FailAt(n, "%s%v", only, err)
	}
}
