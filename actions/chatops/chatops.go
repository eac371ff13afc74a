// Package chatops is about what people request from Slack: with the buttons under a
// message, and with the slash command. A request is stored in the queue before Slack is
// answered, and a worker carries it out: once, whatever crashes.
package chatops

import (
	"time"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// RecordKind names the queue records of requests.
const RecordKind = "request"

// Request is one press of a button, or one command. It is the body of its queue record.
type Request struct {
	ID         string    `json:"id"` // the same however often Slack sends the request
	By         Person    `json:"by"`
	At         Place     `json:"at"`
	Button     *Button   `json:"button,omitempty"`   // nil: it is a command
	Command    string    `json:"command,omitzero"`   // the text after /pipesteward
	ReplyURL   string    `json:"reply_url,omitzero"` // Slack's response_url: a secret for 30 minutes
	ReceivedAt time.Time `json:"received_at"`
}

// Person is a user in Slack. What Slack's requests lack is empty.
type Person struct {
	UserID string `json:"user_id"`       // U… or W…
	TeamID string `json:"team_id"`       // of the workspace, T…
	Name   string `json:"name,omitzero"` // for people to read
}

// maxName bounds the name and the id of a person, in bytes.
const maxName = 80

// Requester returns the person as decisions name them.
func (p Person) Requester() event.Requester {
	return event.Requester{Name: words.Plain.Text(p.Name, maxName), UserID: words.Plain.Text(p.UserID, maxName), TeamID: words.Plain.Text(p.TeamID, maxName)}
}

// PersonOf returns the person who requested or confirmed a decision.
func PersonOf(by event.Requester) Person {
	return Person{UserID: by.UserID, TeamID: by.TeamID, Name: by.Name}
}

// Place is where in Slack a request was made.
type Place struct {
	Channel string `json:"channel"`          // its id
	Message string `json:"message,omitzero"` // the ts of the message with the button
	Thread  string `json:"thread,omitzero"`  // the ts of the message that begins its thread
}

// What buttons do.
const (
	ButtonRetry  = "retry"
	ButtonPlay   = "play"
	ButtonCancel = "cancel"
	ButtonErase  = "erase"
	ButtonMute   = "mute" // the messages of the rule in the project, for an hour; the others in Mutes mute more
	ButtonLog    = "log"  // an excerpt of the job log, to that person
	ButtonWhy    = "why"  // the story of the job, to that person

	ButtonMuteRule    = "mute_rule"    // the messages of the rule, in all projects
	ButtonMuteProject = "mute_project" // those of the project
	ButtonMuteChannel = "mute_channel" // those in the channel

	ButtonConfirm = "confirm" // carries out the play that was asked for
	ButtonReject  = "reject"  // skips it
)

// Mutes are the buttons that mute, in the order in which a menu has them.
var Mutes = []string{ButtonMute, ButtonMuteRule, ButtonMuteProject, ButtonMuteChannel}

// What commands do besides, as far as rights depend on it; `mute`, `unmute`, `why` and
// `retry` do what the buttons do.
const (
	CommandPause  = "pause"
	CommandResume = "resume"
	CommandStatus = "status" // and report
)

// Button is what a button requests. Slack gives it back when somebody presses the button.
type Button struct {
	Does     string `json:"does,omitzero"`     // one of the constants above
	Of       string `json:"of,omitzero"`       // the id in the journal of the decision that the message is about
	Job      int64  `json:"job,omitzero"`      // the id of the job to act on; 0: that of the decision
	In       string `json:"in,omitzero"`       // the channel of the message, as its rule names it: what comes of the button is added to that message
	Language string `json:"language,omitzero"` // of the message, as event.Notice has it
}

// Reply answers a request in Slack.
type Reply struct {
	Text   string `json:"text"`            // mrkdwn
	Public bool   `json:"public,omitzero"` // to all in the channel; else only to the person
}

// Refusal is why a person may not do something.
type Refusal interface {
	// Text returns it as sentences for the person, in mrkdwn.
	Text(in words.Style) (string, error)
}

// Target is what a request of a person is about, as far as rights depend on it.
type Target struct {
	Project      int64               // 0: no single one
	Ref          string              // of the pipeline
	Tag          bool                // the Ref is a tag
	Environments []event.Environment // that its jobs deploy to; the Tier of one is "" if it is not known
	// AllEnvironments is set if its jobs are known to deploy to no others. Without it, they
	// may deploy to any: GitLab's API does not tell that.
	AllEnvironments bool
	Owner           int64 // the id in GitLab of the user who started the job; 0: not known
	// Upstream is the pipeline of another project whose skipped jobs GitLab would run, too; nil:
	// there is none.
	Upstream *Target
}
