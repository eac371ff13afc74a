package event

import "time"

// Receivers that need no entry of their own in rule files. The others have the names that
// rule files give them.
const (
	ReceiverSlack  = "slack"
	ReceiverGitLab = "gitlab" // writes to the event's own GitLab
)

// Channels of the receiver GitLab.
const (
	ChannelMergeRequest = "merge_request" // a note on the merge request of the event's pipeline
	ChannelCommit       = "commit"        // a commit status in the event's pipeline
)

// Address is where a notification goes.
type Address struct {
	Receiver string `json:"receiver"`
	// Channel is, of Slack, a channel's name, with or without '#', or its id; of GitLab,
	// one of the channels above.
	Channel string `json:"channel,omitzero"`
}

// String names the address, for people.
func (a Address) String() string {
	receiver := a.Receiver
	switch {
	case a == Address{ReceiverGitLab, ChannelMergeRequest}:
		return "the merge request"
	case a == Address{ReceiverGitLab, ChannelCommit}:
		return "the commit"
	case receiver == ReceiverSlack:
		receiver = "Slack"
	}
	if a.Channel == "" {
		return receiver
	}
	return a.Channel + " in " + receiver
}

// ChannelAuthor is the channel of a direct message to the author of the commit, or else to
// the user who triggered the pipeline.
const ChannelAuthor = "author"

// Mentions of people by what they did; others are "@group", a user group's handle, and
// "U…", a user's id.
const (
	MentionAuthor    = "author"    // of the commit
	MentionTriggerer = "triggerer" // of the pipeline
)

// Languages of the texts that Pipesteward writes to people; "" is English.
const (
	English = "en"
	Chinese = "zh"
)

// Languages lists them.
var Languages = []string{English, Chinese}

// Notice is a message that a rule sends about an outcome to one address. Its text is
// rendered, in the markup of the receiver, with all values in it escaped for that.
type Notice struct {
	Address
	Rules   []string `json:"rules,omitempty"`   // names of those that send it to the address
	Mention []string `json:"mention,omitempty"` // whom: as above
	Text    string   `json:"text,omitzero"`     // "": the default text of the outcome, or of the turn
	// Header, Context and Details are those parts of the message, rendered as Text is; "": the
	// default ones.
	Header   string `json:"header,omitzero"`
	Context  string `json:"context,omitzero"`
	Details  string `json:"details,omitzero"`
	Language string `json:"language,omitzero"` // of what Pipesteward writes in it
	// Turn is the turn of a state that the message is about: StateBegan or StateResolved;
	// "": it is about the outcome.
	Turn string `json:"turn,omitzero"`
	// Subject identifies the message of a state: that of StateResolved replaces that of
	// StateBegan. "": the message is that of the outcome's pipeline.
	Subject string `json:"subject,omitzero"`
	// Together is of how many branches, tags and merge requests the message of the Subject is;
	// 0: it is of no such message.
	Together int   `json:"together,omitzero"`
	Quiet    Quiet `json:"quiet,omitzero"` // when it waits; zero: never
	Group    Group `json:"group,omitzero"` // when it is gathered in a digest; zero: never
}

// Quiet are the hours in which notices wait, from a time of the day, like 20:00, to the
// next other one, like 07:00. Zero: there are none.
type Quiet struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Timezone string   `json:"timezone"`       // its name in the IANA database
	Days     []string `json:"days,omitempty"` // on which it begins, of Weekdays; none: on each
}

// Group says when new messages to an address are gathered in digests: as soon as more than
// Burst come within Wait, in a digest for each Interval. Zero: never.
type Group struct {
	Burst    int      `json:"burst"`
	Wait     Duration `json:"wait"`
	Interval Duration `json:"interval"`
}

// Weekdays are the days of the week, as rule files name them, by time.Weekday.
var Weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Results of a notification.
const (
	NotificationWaiting = "waiting" // it is in the queue
	NotificationSent    = "sent"
	NotificationFailed  = "failed" // it was given up
	NotificationMuted   = "muted"  // a person had muted it
)

// NotificationResults lists all results of notifications.
var NotificationResults = []string{NotificationWaiting, NotificationSent, NotificationFailed, NotificationMuted}

// Notification is what came of a notice.
type Notification struct {
	Address
	Subject string    `json:"subject,omitzero"` // as the notice has it
	At      time.Time `json:"at"`
	Result  string    `json:"result"`          // one of the results above
	Error   string    `json:"error,omitzero"`  // why it failed, or waits until a person has mended something
	Digest  string    `json:"digest,omitzero"` // the id of the digest in which it was sent
	Muted   string    `json:"muted,omitzero"`  // the mute that kept it from being sent, as text
}
