package requests

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// scope is what a command mutes, pauses or the reverse.
type scope struct {
	event.Mute      // of a pause, the project or the rule
	all        bool // the word that names everything was given
	span       time.Duration
	replace    bool
	project    int64  // the id of the project that Project is the whole path of; 0: of none
	named      string // how the person named that project: by its path, a former one, or its id
}

// note says which project was named by other than its path, or that Project seems to match
// nothing; "" if there is nothing to say.
func (s scope) note() string {
	switch {
	case s.project != 0 && !strings.EqualFold(s.named, s.Project):
		return " " + mrkdwn.Code(s.named) + " is that project."
	case s.Project == "", s.project != 0, isGlob(s.Project):
		return ""
	}
	return " GitLab shows no project with that path; for a group, write " + mrkdwn.Code("project "+s.Project+"/**") + "."
}

// isGlob reports whether a project is given as a glob that may match several.
func isGlob(project string) bool { return strings.ContainsAny(project, `*?[{\`) }

// scopeWords lists the words of a scope, for the command that ends a mute or a pause.
func scopeWords(m event.Mute) string {
	var words []string
	if m.Project != "" {
		words = append(words, "project "+m.Project)
	}
	if m.Rule != "" {
		words = append(words, "rule "+m.Rule)
	}
	if m.Channel != "" {
		words = append(words, "channel "+m.Channel)
	}
	if len(words) == 0 {
		return "all"
	}
	return strings.Join(words, " ")
}

// parseScope reads the words after mute, pause and the reverse: each of the allowed words
// once, with its value after it. The error is for the person, as mrkdwn.
func parseScope(words []string, allowed ...string) (scope, error) {
	var s scope
	may, seen := map[string]bool{}, map[string]bool{}
	for _, word := range allowed {
		may[word] = true
	}
	for len(words) > 0 {
		word := strings.TrimLeft(strings.ToLower(words[0]), "-—") // some write flags
		switch {
		case !may[word]:
			return s, fmt.Errorf("%s is none of the words that belong here: %s", mrkdwn.Code(words[0]), strings.Join(allowed, ", "))
		case seen[word]:
			return s, fmt.Errorf("%s is given twice", mrkdwn.Code(word))
		}
		seen[word] = true
		words = words[1:]
		switch word {
		case "all":
			s.all = true
			continue
		case "replace":
			s.replace = true
			continue
		}
		if len(words) == 0 {
			return s, fmt.Errorf("a value is missing after %s", mrkdwn.Code(word))
		}
		value := words[0]
		words = words[1:]
		switch word {
		case "project":
			s.Project = value
		case "rule":
			s.Rule = value
		case "channel":
			s.Channel = channelOf(value)
		case "for":
			var err error
			if s.span, err = parseDuration(value); err != nil {
				return s, err
			}
		case "reason": // it has the rest
			s.Reason, words = strings.Join(append([]string{value}, words...), " "), nil
		}
	}
	switch named := s.Project+s.Rule+s.Channel != ""; {
	case named && s.all:
		return s, errors.New("`all` is everything: leave it out, or leave out the others")
	case !named && !s.all:
		return s, fmt.Errorf("say what: %s; `all` is everything", strings.Join(allowed, ", "))
	}
	return s, nil
}

// until returns when what begins with the request ends; zero: when somebody ends it.
func (s scope) until(from time.Time) time.Time {
	if s.span == 0 {
		return time.Time{}
	}
	return from.Add(s.span)
}

// reportFor is how far back a report reaches without `since`.
const reportFor = 7 * 24 * time.Hour

// parseSince reads how far back a report reaches.
func parseSince(words []string) (time.Duration, error) {
	switch {
	case len(words) == 0:
		return reportFor, nil
	case len(words) != 2 || strings.TrimLeft(words[0], "-—") != "since":
		return 0, errors.New("a report takes no more than `since` and a duration")
	}
	return parseDuration(words[1])
}

// parseDuration reads a duration that is longer than none.
func parseDuration(word string) (time.Duration, error) {
	d, err := model.ParseDuration(word)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s is not a duration: write for instance 30m, 2h or 1d", mrkdwn.Code(word))
	}
	return time.Duration(d), nil
}

// mentioned matches a channel or a link in the text of a command: Slack sends
// <#C024BE7LR|ci> and <https://…|label> for what people write, if the app says so.
var mentioned = regexp.MustCompile(`^<#?([^<>|]+)(?:\|([^<>]*))?>$`)

// channelOf returns the channel as rules name it.
func channelOf(word string) string {
	found := mentioned.FindStringSubmatch(word)
	switch {
	case found == nil:
		return word
	case found[2] != "":
		return "#" + found[2]
	}
	return found[1]
}

// addressOf returns the address in a word.
func addressOf(word string) string {
	if found := mentioned.FindStringSubmatch(word); found != nil {
		return found[1]
	}
	return word
}
