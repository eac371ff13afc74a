package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Channel is a channel as a rule file gives it: of Slack, or a constant one of GitLab.
type Channel struct {
	Source   string               // a name, an id, [event.ChannelAuthor] or a text with expressions
	Template *expression.Template // nil: there are no expressions
}

// Constant returns the channel if it is the same for all events, else "".
func (c Channel) Constant() string {
	if c.Template != nil {
		return ""
	}
	return c.Source
}

// name renders the channel.
func (c Channel) name(s *expression.Session) (string, error) {
	if c.Template == nil {
		return c.Source, nil
	}
	name, err := s.Text(*c.Template, channelName)
	if err == nil {
		err = CheckChannel(name)
	}
	if err != nil {
		return "", err
	}
	return name, nil
}

// maxChannelName is how many characters the name of a Slack channel has at most, by the
// documentation of Slack's conversations.create.
const maxChannelName = 80

// notInChannelName matches what the name of a Slack channel can't have. That documentation
// names lower-case letters, digits, - and _; letters of all scripts work.
var notInChannelName = regexp.MustCompile(`[^\p{L}\p{M}\p{N}_-]+`)

// channelID matches the ids of channels and users in Slack.
var channelID = regexp.MustCompile(`^[CDGUW][A-Z0-9]{8,}$`)

// CheckChannel returns what is wrong with the name, with or without '#', or the id of a Slack
// channel, and what to write instead; nil if nothing is.
func CheckChannel(channel string) error {
	name := strings.TrimPrefix(channel, "#")
	switch lower := strings.ToLower(name); {
	case channelID.MatchString(channel), channel == event.ChannelAuthor:
		return nil
	case strings.Trim(channel, "# ") == "":
		return errors.New("the name of the Slack channel is empty")
	case strings.HasPrefix(channel, "@"):
		return fmt.Errorf("%q is not a Slack channel: for a direct message, write the person's id, like U024BE91L, or `author`", channel)
	case notInChannelName.MatchString(name):
		return fmt.Errorf("%q is not one Slack channel: write its name, like \"#ci\", with no more than letters, digits, - and _, or its id, like C024BE91L", channel)
	case name != lower:
		return fmt.Errorf("%q is not a Slack channel: their names are in lower case: write %q", channel, strings.TrimSuffix(channel, name)+lower)
	case utf8.RuneCountInString(name) > maxChannelName:
		return fmt.Errorf("%q is not a Slack channel: their names have %d characters at most", channel, maxChannelName)
	}
	return nil
}

// channelName writes a value as it stands in the names of Slack channels: in lower case,
// with - for what they can't have. An id stays as it is.
func channelName(value string) string {
	if channelID.MatchString(value) {
		return value
	}
	return strings.Trim(notInChannelName.ReplaceAllString(strings.ToLower(value), "-"), "-")
}

// MayNotify reports whether a rule may notify a channel, with or without '#', or a storm does.
// One that is made of expressions may be any.
func (rs *Rules) MayNotify(channel string) bool {
	of := event.Mute{Channel: channel}
	if rs.storm.To.Channel != "" && of.Covers("", "", rs.storm.To) {
		return true
	}
	return slices.ContainsFunc(rs.rules, func(r *Rule) bool {
		return slices.ContainsFunc(r.Notify, func(n Notify) bool {
			return n.Channel.Template != nil || of.Covers("", "", event.Address{Channel: n.Channel.Source})
		})
	})
}
