package rulefile

import (
	"regexp"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// defaultNotify reads `notify` in `defaults`. Its entries are read for each rule that they
// are for: what they may read of an event depends on it.
func (rd *reader) defaultNotify(d *defaults) schema.Schema {
	example := rd.notices(&rules.Rule{On: event.KindJob}, *d)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			switch {
			case schema.IsText(n) && n.Value == none:
			case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
				d.notify = n
			default:
				f.FailAt(n, "%s in defaults must be none, or a list like `notify: [{channel: \"#ci\", when: [gave_up]}]`", what)
			}
		},
		JSON: func() schema.JSON {
			return schema.JSON{"anyOf": []schema.JSON{{"const": none}, example.JSON()}, "default": none}
		},
	}
}

// none is the value of `notify` in `defaults` with which nobody is notified.
const none = "none"

// notices reads the list `notify` of a rule.
func (rd *reader) notices(r *rules.Rule, d defaults) schema.Schema {
	return notifications(schema.List(&r.Notify, 1, func(v *rules.Notify) schema.Schema { return rd.notice(r, v, d) }))
}

// notice reads an entry of `notify`.
func (rd *reader) notice(r *rules.Rule, v *rules.Notify, d defaults) schema.Schema {
	v.When, v.Receiver = defaultWhen, event.ReceiverSlack
	var note, status string
	state, together := rules.State{}, rules.Together{}
	purpose := func() expression.Purpose {
		if slices.ContainsFunc(r.Actions, func(a rules.Action) bool { return !event.OfPipeline(a.Verb) }) {
			return rd.jobPurpose(r)
		}
		return rd.eventPurpose(r)
	}
	aboutOutcome := func() expression.Purpose {
		p := purpose()
		p.HasOutcome = true
		return p
	}
	obeysQuiet := true
	keys := exclusive(schema.MappingWithHints("an entry of notify", schema.Fields{
		schema.Key(
			"when", "The outcomes worth a message; `storm` stands for those that are deferred because of a storm. With `merge_request`: by default gave_up, recovered and storm.",
			outcomes(&v.When),
		),
		schema.Key("channel", "The Slack channel to notify, like \"#ci\" or \"#ci-{{ project.namespace }}\", where values are written as Slack writes channels; or `author`: a direct message to the commit's author. Without it: the one in `defaults`, unless the entry has `merge_request` or `commit`.", rd.channel(&v.Channel, aboutOutcome)),
		schema.Key("receiver", "The receiver to notify, by its name in `receivers`, instead of a Slack channel. Without both: the one in `defaults`.", rd.set.receiverName(&v.Receiver)),
		schema.Key(KeyMergeRequest, "`note`: one note on the merge request of the event's pipeline has a line for each job, and is edited. An event without a merge request is left out.", schema.OneOf(&note, []string{Note})),
		schema.Key(KeyCommit, "`status`: a commit status in the event's pipeline, which always passes: it does not block.", schema.OneOf(&status, []string{Status})),
		schema.Key("mention", "Who is mentioned: `author` of the commit, `triggerer` of the pipeline, a user group like \"@oncall\" or a user's id like U024BE7LH. People are found by their e-mail address; who is not found is left out. In an entry with a `receiver`: people as that names them (open ids of Feishu, mobile numbers of DingTalk, …), or \"@all\".", rd.set.mentions(v)),
		schema.Key("text", "The text of the notification, with expressions in {{ }}. Without it: a default text for each outcome; with `state`, one that says that it is true.", rd.template(&v.Text, aboutOutcome, defaultText)),
		schema.Key("state", "An expression that is true or false: people are notified when it turns true and when it turns false again, and of nothing between. The rule's `if` selects the events that say something of it. There is one state per project and ref, and in a rule for jobs per job name.", rd.expression(&state.Condition, expression.WantBool, purpose)),
		schema.Key("resolved", "The text when the `state` turns false again. Without it: a default text.", rd.template(&state.Resolved, aboutOutcome, defaultText)),
		schema.Key("together", "A text with expressions in {{ }}, like \"{{ job.name }}\": the notifications of a project for which it is the same are one message in Slack, which is edited. `outcome.together` in `text` is of how many merge requests, branches and tags it is.", rd.template(&together.Key, purpose, "write the text by which notifications are one message, like \"{{ job.name }}\", or omit it")),
		schema.Key("language", "The language of what Pipesteward writes itself: en (English) or zh (Chinese). Without it: that of the receiver, else the one in `defaults`.", schema.Language(&v.Language)),
		schema.Key("quiet", "Whether notifications wait for the end of the quiet hours in `defaults`.", schema.Bool(&obeysQuiet)),
	}, inNotify), "an entry of notify")
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if schema.IsText(n) {
				f.FailAt(n, "an entry of notify must be a mapping, like `{channel: %q}`", n.Value)
				return
			}
			inGitLab := schema.Has(n, KeyMergeRequest) || schema.Has(n, KeyCommit)
			if n.Kind == yaml.MappingNode && !schema.Has(n, "channel") && !schema.Has(n, "receiver") && !inGitLab {
				switch {
				case d.receiver != "":
					v.Receiver = d.receiver
				case d.channel != nil:
					rd.channel(&v.Channel, aboutOutcome).Read(f, d.channel, "channel")
				}
			}
			if schema.Has(n, KeyMergeRequest) {
				v.When = noteWhen
			}
			keys.Read(f, n, what)
			switch {
			case n.Kind != yaml.MappingNode:
			case inGitLab:
				v.Receiver, v.Channel = event.ReceiverGitLab, rules.Channel{Source: event.ChannelMergeRequest}
				if !schema.Has(n, KeyMergeRequest) {
					v.Channel.Source = event.ChannelCommit
				}
				reviewInGitLab(f, n)
			case v.Receiver == event.ReceiverSlack && v.Channel.Source == "":
				f.FailAt(n, "no channel to notify: write `channel: \"#ci\"` here or in defaults, or `merge_request: note` or `commit: status`")
			default:
				v.Group = d.group
				if obeysQuiet && d.quiet.Hours.From != "" {
					v.Quiet = d.quiet
				}
			}
			if v.Language == "" {
				v.Language = rd.set.languageOf(v.Receiver, d.language)
			}
			reviewState(f, r, n)
			if at := schema.Value(n, "state"); at != nil {
				state.Source = schema.Resolve(at).Value
				v.State, v.When = &state, nil
				v.Group = event.Group{} // each turn is told by itself
			}
			reviewTogether(f, r, *v, n)
			if at := schema.Value(n, "together"); at != nil && together.Key != nil {
				together.Source = schema.Resolve(at).Value
				v.Together = &together
				v.Group = event.Group{} // it is one message already
			}
			for _, other := range r.Notify {
				if v.Channel.Source == unusable {
					break // which says enough
				}
				if other.State != nil && v.State != nil && other.State.Source == v.State.Source && other.Receiver == v.Receiver && other.Channel.Source == v.Channel.Source {
					f.FailAt(n, "this state is already notified to %s by an earlier entry of notify: one message for each state and address", event.Address{Receiver: v.Receiver, Channel: v.Channel.Source})
				}
				if result := clash(*v, other); result != "" {
					f.FailAt(n, "%s is already notified to %s by an earlier entry of notify: one message for each outcome and address", result, event.Address{Receiver: v.Receiver, Channel: v.Channel.Source})
				}
			}
		},
		JSON: func() schema.JSON {
			s := keys.JSON()
			s["allOf"] = []schema.JSON{
				{
					"if":   schema.JSON{"required": []string{"resolved"}},
					"then": schema.JSON{"required": []string{"state"}, "errorMessage": resolvedWithoutState},
				},
				{
					"if":   schema.JSON{"required": []string{"state"}},
					"then": schema.JSON{"properties": schema.JSON{"when": false}},
				},
				{
					"if":   schema.JSON{"required": []string{"together"}},
					"then": schema.JSON{"properties": schema.JSON{"state": false, "receiver": false, KeyMergeRequest: false, KeyCommit: false}},
				},
				mentionInSlack(),
			}
			return s
		},
	}
}

// defaultText is what to do about an empty text.
const defaultText = "omit it for the default text, or write one, like \"{{ job.name }} failed\""

const resolvedWithoutState = "`resolved` is the text when a state ends: give the entry a `state`, like `state: pipeline.status == \"failed\"`, or omit `resolved`"

// reviewState reports states where none can be, and keys that don't go with one.
func reviewState(f *schema.Document, r *rules.Rule, n *yaml.Node) {
	state, when, resolved := schema.Value(n, "state"), schema.Value(n, "when"), schema.Value(n, "resolved")
	switch {
	case state == nil && resolved != nil:
		f.FailAt(resolved, resolvedWithoutState)
	case state == nil:
	case when != nil:
		f.FailAt(when, "with `state`, people are notified when it turns true and when it turns false again: omit `when`, or write another entry for the outcomes")
	case r.On == event.KindSchedule:
		f.FailAt(state, "a rule on a schedule has no state: write a rule `on: pipeline` or `on: job`, whose events set it")
	case len(r.Actions) > 0:
		f.FailAt(state, "a state stands in a rule without actions: write a rule of its own for it, with the same `if` or a wider one")
	}
}

// reviewTogether reports `together` where it can't be.
func reviewTogether(f *schema.Document, r *rules.Rule, v rules.Notify, n *yaml.Node) {
	switch at := schema.Value(n, "together"); {
	case at == nil:
	case schema.Has(n, "state"):
		f.FailAt(at, "a `state` has one message already: omit `together`, or write another entry")
	case v.Receiver != event.ReceiverSlack || v.Channel.Source == event.ChannelAuthor:
		f.FailAt(at, "`together` is for channels of Slack, where a message can be edited and all see it: write a `channel`, or omit `together`")
	case len(r.Actions) > 0:
		f.FailAt(at, "`together` stands in a rule without actions: write a rule of its own for it, with the same `if`")
	}
}

// Keys of an entry of notify that is told in GitLab, each with its only value.
const (
	KeyMergeRequest = "merge_request"
	Note            = "note"
	KeyCommit       = "commit"
	Status          = "status"
)

// reviewInGitLab reports what an entry can't have beside `merge_request` or `commit`.
func reviewInGitLab(f *schema.Document, n *yaml.Node) {
	const oneEach = "an entry of notify has one of `channel`, `receiver`, `merge_request: note` and `commit: status`: for each further one, write another entry"
	switch channel, receiver := schema.Value(n, "channel"), schema.Value(n, "receiver"); {
	case channel != nil:
		f.FailAt(channel, oneEach)
	case receiver != nil:
		f.FailAt(receiver, oneEach)
	case schema.Has(n, KeyMergeRequest) && schema.Has(n, KeyCommit):
		f.FailAt(schema.Value(n, KeyCommit), oneEach)
	}
	if state := schema.Value(n, "state"); state != nil {
		f.FailAt(state, "a state is told in Slack: write an entry with a `channel` for it")
	}
	if mention := schema.Value(n, "mention"); mention != nil {
		f.FailAt(mention, "nobody is mentioned in GitLab, where the author is notified of each new note: omit `mention`, or write another entry with a `channel`")
	}
}

// clash returns an outcome that both entries send to the same channel; "" if there is
// none.
func clash(v, other rules.Notify) string {
	for _, result := range v.When {
		if v.Receiver == other.Receiver && v.Receiver != unusable && v.Channel.Source == other.Channel.Source && slices.Contains(other.When, result) {
			return result
		}
	}
	return ""
}

// noteWhen are the outcomes that go to a merge request by default.
var noteWhen = []string{event.ResultGaveUp, event.ResultRecovered, event.WhenStorm}

// defaultWhen are the outcomes that a rule sends by default: all except
// skipped and deferred.
var defaultWhen = []string{event.ResultDone, event.ResultDryRun, event.ResultFailed, event.ResultGaveUp, event.ResultRecovered}

// mentionable matches the entries of `mention`.
var mentionable = regexp.MustCompile(`^(` + event.MentionAuthor + `|` + event.MentionTriggerer + `|@[^@\s<>!|]{1,80}|[UW][A-Z0-9]{8,})$`)

// mention reads an entry of `mention`.
func mention(to *string) schema.Schema {
	return schema.Matching(to, mentionable, "mention has author, triggerer, user groups like \"@oncall\" and ids of users like U024BE7LH: a user's id is in the profile, under \"Copy member ID\"")
}
