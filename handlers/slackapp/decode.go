package slackapp

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
)

// ignoredError says that an interaction is valid, and none of Pipesteward's buttons was
// pressed: the link of a button was opened, or a form was closed, say.
type ignoredError struct{ kind string }

func (e *ignoredError) Error() string { return "ignored: " + e.kind }

// decodeInteraction returns the requests in the form that Slack posts to InteractionsPath.
// Its errors are an *ignoredError, or what is wrong.
func decodeInteraction(form []byte, at time.Time) ([]chatops.Request, error) {
	values, err := formOf(form)
	if err != nil {
		return nil, err
	}
	return interaction([]byte(values.Get("payload")), at)
}

// decodeCommand returns the request in the form that Slack posts to CommandsPath. Its
// errors are those of decodeInteraction.
func decodeCommand(form []byte, at time.Time) ([]chatops.Request, error) {
	values, err := formOf(form)
	if err != nil {
		return nil, err
	}
	c := commandJSON{
		Command: values.Get("command"), Text: values.Get("text"), UserID: values.Get("user_id"), UserName: values.Get("user_name"), TeamID: values.Get("team_id"),
		ChannelID: values.Get("channel_id"), TriggerID: values.Get("trigger_id"), ResponseURL: values.Get("response_url"),
	}
	return c.requests(at)
}

// formOf parses a form. That in which Slack looks at the certificate is ignored.
func formOf(body []byte) (url.Values, error) {
	values, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return nil, errors.New("the body is not a valid URL-encoded form")
	case values.Get("ssl_check") == "1":
		return nil, &ignoredError{"ssl_check"}
	}
	return values, nil
}

// interactionJSON is the payload of a block_actions interaction, as far as it matters
// (docs.slack.dev/reference/interaction-payloads/block_actions-payload).
type interactionJSON struct {
	Type        string `json:"type"`
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
	User        struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
		TeamID   string `json:"team_id"`
	} `json:"user"`
	Team struct {
		ID string `json:"id"`
	} `json:"team"`
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Container struct {
		Channel string `json:"channel_id"`
		Message string `json:"message_ts"`
		Thread  string `json:"thread_ts"`
	} `json:"container"`
	Message struct {
		Thread string `json:"thread_ts"`
	} `json:"message"`
	Actions []struct {
		ID       string `json:"action_id"`
		Value    string `json:"value"`
		Selected struct {
			Value string `json:"value"`
		} `json:"selected_option"`
	} `json:"actions"`
}

// interaction returns the requests in an interaction's payload: one for each of
// Pipesteward's buttons that was pressed. Its errors are those of decodeInteraction.
func interaction(payload []byte, at time.Time) ([]chatops.Request, error) {
	var i interactionJSON
	if err := json.Unmarshal(payload, &i); err != nil || i.Type == "" {
		return nil, errors.New("the payload of the interaction is not JSON as Slack sends it")
	}
	if i.Type != "block_actions" {
		return nil, &ignoredError{i.Type}
	}
	var requests []chatops.Request
	for _, a := range i.Actions {
		if !chatops.IsButton(a.ID) {
			continue
		}
		button, err := chatops.ParseButton(a.ID, cmp.Or(a.Value, a.Selected.Value))
		if err != nil {
			return nil, err
		}
		place := chatops.Place{
			Channel: cmp.Or(i.Container.Channel, i.Channel.ID), Message: i.Container.Message, Thread: cmp.Or(i.Container.Thread, i.Message.Thread),
		}
		if place.Thread == place.Message {
			place.Thread = "" // the message begins the thread
		}
		r := chatops.Request{
			ID: idOf(i.TriggerID, a.ID, button.Value()), By: chatops.Person{UserID: i.User.ID, TeamID: cmp.Or(i.User.TeamID, i.Team.ID), Name: cmp.Or(i.User.Name, i.User.Username)},
			At: place, Button: &button, ReplyURL: i.ResponseURL, ReceivedAt: at.UTC(),
		}
		if err := complete(r, i.TriggerID); err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	if len(requests) == 0 {
		return nil, &ignoredError{i.Type}
	}
	return requests, nil
}

// commandJSON is a slash command, as far as it matters
// (docs.slack.dev/interactivity/implementing-slash-commands).
type commandJSON struct {
	Command     string `json:"command"`
	Text        string `json:"text"`
	UserID      string `json:"user_id"`
	UserName    string `json:"user_name"`
	TeamID      string `json:"team_id"`
	ChannelID   string `json:"channel_id"`
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
}

// command returns the request in the payload that a slash command has in Socket Mode. Its
// errors are those of decodeInteraction.
func command(payload []byte, at time.Time) ([]chatops.Request, error) {
	var c commandJSON
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, errors.New("the payload of the command is not JSON as Slack sends it")
	}
	return c.requests(at)
}

// requests returns the one request that a command is.
func (c commandJSON) requests(at time.Time) ([]chatops.Request, error) {
	if !strings.HasPrefix(c.Command, "/") {
		return nil, errors.New("the form has no slash command")
	}
	r := chatops.Request{
		ID: idOf(c.TriggerID, c.Command, c.Text), By: chatops.Person{UserID: c.UserID, TeamID: c.TeamID, Name: c.UserName},
		At: chatops.Place{Channel: c.ChannelID}, Command: strings.TrimSpace(c.Text), ReplyURL: c.ResponseURL, ReceivedAt: at.UTC(),
	}
	return []chatops.Request{r}, complete(r, c.TriggerID)
}

// complete returns an error if a request lacks what each has.
func complete(r chatops.Request, trigger string) error {
	for _, part := range []struct{ name, value string }{{"trigger_id", trigger}, {"user", r.By.UserID}, {"team", r.By.TeamID}, {"channel", r.At.Channel}} {
		if part.value == "" {
			return errors.New("the request has no " + part.name)
		}
	}
	return nil
}

// idOf returns the id of a request: a hash of Slack's trigger_id, which each request has
// another of, and of what is requested. A trigger_id lets the app open a form for 3 s, and
// is not stored.
func idOf(trigger, action, value string) string {
	h := sha256.New()
	for _, part := range []string{trigger, action, value} {
		sum := sha256.Sum256([]byte(part)) // parts can't run into each other
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
