// Package words has the words in which Pipesteward tells people what happened: one
// set of templates for Slack, the API and the terminal. A Style writes names and
// links as the medium wants them, in a language.
//
// Each language has the same blocks, which read the same fields; only what the API and the
// terminal alone tell, what happened in which order (timeline.tmpl), is in English alone.
package words

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/pipesteward/pipesteward/rules/event"
)

//go:embed *.tmpl
var files embed.FS

// templates are those of each language.
var templates = func() map[string]*template.Template {
	all := map[string]*template.Template{}
	for name, l := range languages {
		all[name] = template.Must(template.New(name).Funcs(l.functions()).ParseFS(files, "*."+name+".tmpl"))
	}
	all[event.English] = template.Must(all[event.English].ParseFS(files, "timeline.tmpl"))
	return all
}()

// Style writes values in the markup of a medium, and texts in a language.
type Style struct {
	// Language is one of event.Languages; "": English.
	Language string

	// Text returns a text of others on one line, of limit bytes at most, so that it
	// can't be taken for markup.
	Text func(text string, limit int) string
	// Code returns a name in fixed type; "" stays "".
	Code func(name string) string
	// Link returns the label, as a link if there is an address.
	Link func(address, label string) string
}

// Plain is the style without markup, for the terminal and the API.
var Plain = Style{
	Text: oneLine,
	Code: func(name string) string { return oneLine(name, maxName) },
	Link: func(_, label string) string { return oneLine(label, maxName) },
}

const (
	maxName   = 200 // of a name or a title, in bytes
	maxReason = 500 // of an outcome's reason, in bytes; the journal has all of it
)

// In returns the style in a language.
func (s Style) In(language string) Style {
	s.Language = language
	return s
}

// Say executes a block of the English templates. An error is a mistake in the templates.
func Say(block string, data any) (string, error) { return Plain.Say(block, data) }

// Say executes a block of the templates in the style's language. The values in data are in
// the style already. An error is a mistake in the templates.
func (s Style) Say(block string, data any) (string, error) {
	var b strings.Builder
	if err := templates[known(s.Language)].ExecuteTemplate(&b, block, data); err != nil {
		return "", fmt.Errorf("words: %w", err)
	}
	return strings.TrimSpace(b.String()), nil
}

// plainWord matches the words that a shell reads as they are.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@,+-]+$`)

// Shell returns a word as a shell reads it.
func Shell(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// oneLine returns a text on one line without control characters, shortened to limit
// bytes.
func oneLine(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if event.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:max(0, limit-len("…"))], "") + "…"
}
