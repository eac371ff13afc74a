package requests

import (
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
	unknown    bool   // no rule notifies the Channel
	named      string // how the person named that project: by its path, a former one, or its id
}

// note says which project was named by other than its path, or that Project seems to match
// nothing: a block of package words and its data; "" if there is nothing to say.
func (s scope) note() (block, data string) {
	switch {
	case s.unknown:
		return "request_no_channel", mrkdwn.Code(s.Channel)
	case s.project != 0 && !strings.EqualFold(s.named, s.Project):
		return "request_is_that", mrkdwn.Code(s.named)
	case s.Project == "", s.project != 0, isGlob(s.Project):
		return "", ""
	}
	return "request_no_project", mrkdwn.Code("project " + s.Project + "/**")
}

// mistake is why a command can't be read: a block of package words and its data, which is
// mrkdwn.
type mistake struct {
	block string
	data  any
}

// wrongWord returns a mistake about a word of a command; allowed are those that belong there.
func wrongWord(block, word string, allowed ...string) *mistake {
	return &mistake{block, struct{ Word, Allowed string }{mrkdwn.Code(word), strings.Join(allowed, ", ")}}
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
// once, with its value after it.
func parseScope(words []string, allowed ...string) (scope, *mistake) {
	var s scope
	may, seen := map[string]bool{}, map[string]bool{}
	for _, word := range allowed {
		may[word] = true
	}
	for len(words) > 0 {
		word := strings.TrimLeft(strings.ToLower(words[0]), "-—") // some write flags
		switch {
		case !may[word]:
			return s, wrongWord("wrong_word", words[0], allowed...)
		case seen[word]:
			return s, wrongWord("wrong_twice", word)
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
			return s, wrongWord("wrong_no_value", word)
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
			var wrong *mistake
			if s.span, wrong = parseDuration(value); wrong != nil {
				return s, wrong
			}
		case "reason": // it has the rest
			s.Reason, words = strings.Join(append([]string{value}, words...), " "), nil
		}
	}
	switch named := s.Project+s.Rule+s.Channel != ""; {
	case named && s.all:
		return s, &mistake{"wrong_all_and_more", nil}
	case !named && !s.all:
		return s, wrongWord("wrong_nothing", "", allowed...)
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
func parseSince(words []string) (time.Duration, *mistake) {
	switch {
	case len(words) == 0:
		return reportFor, nil
	case len(words) != 2 || strings.TrimLeft(words[0], "-—") != "since":
		return 0, &mistake{"wrong_report", nil}
	}
	return parseDuration(words[1])
}

// parseDuration reads a duration that is longer than none.
func parseDuration(word string) (time.Duration, *mistake) {
	d, err := model.ParseDuration(word)
	if err != nil || d <= 0 {
		return 0, wrongWord("wrong_duration", word)
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
