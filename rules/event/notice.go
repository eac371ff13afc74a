package event

import "time"

// ReceiverSlack is the name of the receiver that posts to Slack. The others have the
// names that rule files give them.
const ReceiverSlack = "slack"

// Address is where a notification goes.
type Address struct {
	Receiver string `json:"receiver"`
	Channel  string `json:"channel,omitzero"` // of Slack: a channel's name, with or without '#', or its id
}

// String names the address, for people.
func (a Address) String() string {
	receiver := a.Receiver
	if receiver == ReceiverSlack {
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

// Notice is a message that a rule sends about an outcome to one address. Its text is
// rendered, and is Slack's mrkdwn for every receiver, with all values in it escaped.
type Notice struct {
	Address
	Mention []string `json:"mention,omitempty"` // whom: as above
	Text    string   `json:"text,omitzero"`     // "": the default text of the outcome, or of the turn
	// Turn is the turn of a state that the message is about: StateBegan or StateResolved;
	// "": it is about the outcome.
	Turn string `json:"turn,omitzero"`
	// Subject identifies the message of a state: that of StateResolved replaces that of
	// StateBegan. "": the message is that of the outcome's pipeline.
	Subject string `json:"subject,omitzero"`
}

// Results of a notification.
const (
	NotificationWaiting = "waiting" // it is in the queue
	NotificationSent    = "sent"
	NotificationFailed  = "failed" // it was given up
)

// NotificationResults lists all results of notifications.
var NotificationResults = []string{NotificationWaiting, NotificationSent, NotificationFailed}

// Notification is what came of a notice.
type Notification struct {
	Address
	Subject string    `json:"subject,omitzero"` // as the notice has it
	At      time.Time `json:"at"`
	Result  string    `json:"result"`         // one of the results above
	Error   string    `json:"error,omitzero"` // why it failed, or waits until a person has mended something
}
