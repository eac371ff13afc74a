package ruletest

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/templates"
)

// expectedMessage is a notification. In an expectation, fields that are nil or "" are not
// compared.
type expectedMessage struct {
	channel      *string // of Slack
	mergeRequest string  // rulefile.Note
	commit       string  // rulefile.Status
	receiver     *string // besides Slack
	text         *string // "": the default text
	mention      *[]string
	quiet        *bool // it waits in quiet hours
	group        *bool // it is gathered if too many come

	parts [len(parts)]*string // those of parts; "": the default one
}

// parts are the parts of a message that `templates` may replace besides the text.
var parts = [...]string{templates.Header, templates.Context, templates.Details}

// messageSchema reads the notifications of an outcome.
func (e *entry) messageSchema(result string) schema.Schema {
	one := func(to *expectedMessage) schema.Schema {
		known := schema.Fields{
			schema.Key("channel", "The Slack channel. Without it: not compared.", given(&to.channel, schema.Text)),
			schema.Key(rulefile.KeyMergeRequest, "`note`: it goes to the merge request. Without it: not compared.", schema.OneOf(&to.mergeRequest, []string{rulefile.Note})),
			schema.Key(rulefile.KeyCommit, "`status`: it is a commit status. Without it: not compared.", schema.OneOf(&to.commit, []string{rulefile.Status})),
			schema.Key("receiver", "The receiver, by its name in `receivers`. Without it: not compared.", given(&to.receiver, schema.Text)),
			schema.Key("text", "The text of the notification; \"\" for the default text. Without it: not compared.", given(&to.text, schema.Text)),
			schema.Key("mention", "Who is mentioned, as the rule file names them; [] for nobody. Without it: not compared.", given(&to.mention, func(all *[]string) schema.Schema { return schema.List(all, 0, schema.Text) })),
			schema.Key("quiet", "Whether it waits in the quiet hours of `defaults`. Without it: not compared.", given(&to.quiet, schema.Bool)),
			schema.Key("group", "Whether it is gathered in a digest, or in the message at the end of its pipeline. Without it: not compared.", given(&to.group, schema.Bool)),
		}
		for i, part := range parts {
			known = append(known, schema.Key(part, "What `"+part+"` in `templates` gives; \"\" for the default. Without it: not compared.", given(&to.parts[i], schema.Text)))
		}
		return schema.Mapping("a message", known)
	}
	var messages []expectedMessage
	several := schema.List(&messages, 0, one)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if schema.IsText(n) {
				e.messages[result] = []expectedMessage{{text: &n.Value}}
				return
			}
			several.Read(f, n, what)
			e.messages[result] = messages
		},
		JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{{"type": "string"}, several.JSON()}} },
	}
}

// messageOf describes a notification as a test file does.
func messageOf(n *event.Notice) expectedMessage {
	quiet, group := n.Quiet.From != "", n.Group.Burst > 0
	m := expectedMessage{text: &n.Text, mention: &n.Mention, quiet: &quiet, group: &group, parts: [len(parts)]*string{&n.Header, &n.Context, &n.Details}}
	switch {
	case n.Receiver == event.ReceiverSlack:
		m.channel = &n.Channel
	case n.Receiver != event.ReceiverGitLab:
		m.receiver = &n.Receiver
	case n.Channel == event.ChannelMergeRequest:
		m.mergeRequest = rulefile.Note
	default:
		m.commit = rulefile.Status
	}
	return m
}

func (m expectedMessage) matches(got expectedMessage) bool {
	for i, part := range m.parts {
		if !same(part, got.parts[i]) {
			return false
		}
	}
	return same(m.channel, got.channel) && same(m.receiver, got.receiver) && (m.mergeRequest == "" || m.mergeRequest == got.mergeRequest) && (m.commit == "" || m.commit == got.commit) &&
		same(m.text, got.text) && (m.mention == nil || slices.Equal(*m.mention, *got.mention)) && same(m.quiet, got.quiet) && same(m.group, got.group)
}

// same reports whether an actual value is the expected one; nil: it is not compared, or there
// is none.
func same[T comparable](want, got *T) bool { return want == nil || got != nil && *want == *got }

// as returns an actual notification with the fields that the expected ones mention; where to and
// the text if they mention neither.
func (m expectedMessage) as(expected []expectedMessage) expectedMessage {
	mentioned := func(has func(expectedMessage) bool) bool { return slices.ContainsFunc(expected, has) }
	ofAddress := mentioned(func(m expectedMessage) bool { return m.channel != nil || m.receiver != nil })
	ofText := mentioned(func(m expectedMessage) bool { return m.text != nil })
	if ofText && !ofAddress {
		m.channel, m.receiver = nil, nil
	}
	if ofAddress && !ofText {
		m.text = nil
	}
	if !mentioned(func(m expectedMessage) bool { return m.mention != nil }) {
		m.mention = nil
	}
	if !mentioned(func(m expectedMessage) bool { return m.quiet != nil }) {
		m.quiet = nil
	}
	if !mentioned(func(m expectedMessage) bool { return m.group != nil }) {
		m.group = nil
	}
	for i := range parts {
		if !mentioned(func(m expectedMessage) bool { return m.parts[i] != nil }) {
			m.parts[i] = nil
		}
	}
	return m
}

// write formats notifications as in a test file.
func write(messages []expectedMessage) string {
	if len(messages) == 1 && messages[0].text != nil && messages[0] == (expectedMessage{text: messages[0].text}) {
		return scalar(*messages[0].text)
	}
	all := make([]string, len(messages))
	for i, m := range messages {
		var keys []string
		if m.channel != nil {
			keys = append(keys, "channel: "+scalar(*m.channel))
		}
		if m.mergeRequest != "" {
			keys = append(keys, rulefile.KeyMergeRequest+": "+m.mergeRequest)
		}
		if m.commit != "" {
			keys = append(keys, rulefile.KeyCommit+": "+m.commit)
		}
		if m.receiver != nil {
			keys = append(keys, "receiver: "+scalar(*m.receiver))
		}
		if m.text != nil {
			keys = append(keys, "text: "+scalar(*m.text))
		}
		for i, part := range m.parts {
			if part != nil {
				keys = append(keys, parts[i]+": "+scalar(*part))
			}
		}
		if m.mention != nil {
			keys = append(keys, "mention: "+scalars(*m.mention))
		}
		if m.quiet != nil {
			keys = append(keys, "quiet: "+strconv.FormatBool(*m.quiet))
		}
		if m.group != nil {
			keys = append(keys, "group: "+strconv.FormatBool(*m.group))
		}
		all[i] = "{" + strings.Join(keys, ", ") + "}"
	}
	return "[" + strings.Join(all, ", ") + "]"
}
