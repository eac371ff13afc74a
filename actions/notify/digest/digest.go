// Package digest has the texts of messages in which notices are gathered: how many there are
// of which kind, or what became of the jobs of a pipeline.
package digest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Item is what a digest says of a notice.
type Item struct {
	Result  string    `json:"result"` // of the outcome; of a rule without actions matched, or a state's turn
	Rules   []string  `json:"rules"`
	Class   string    `json:"class,omitzero"`
	Project string    `json:"project,omitzero"`
	At      time.Time `json:"at"`
	Link    string    `json:"link"` // to its pipeline, or its job: mrkdwn
	Text    string    `json:"text"` // one line of mrkdwn

	// For a message at the end of a pipeline.
	Job     string      `json:"job,omitzero"` // its name
	Mention []string    `json:"mention,omitempty"`
	Quiet   event.Quiet `json:"quiet,omitzero"`
	AtOnce  bool        `json:"at_once,omitzero"` // the notice is sent by itself
	// Requested says that a person requested the outcome, and no rule notifies of it: it
	// counts only where the message has its job anyway.
	Requested bool  `json:"requested,omitzero"`
	After     After `json:"after,omitzero"`
}

// After says which ends of its pipeline are later than an outcome.
type After struct {
	Job     int64     `json:"job,omitzero"`     // the job that the action made
	At      time.Time `json:"at,omitzero"`      // when the event happened, by GitLab's clock
	Started time.Time `json:"started,omitzero"` // when the action let the pipeline run on, by ours
}

// matched is the result of a rule that only notifies.
const matched = "matched"

const (
	maxItemText  = 160 // of a notice in a digest, in bytes
	maxItemLabel = 80  // of the name of its pipeline
	maxItemLinks = 3   // of notices with one text
	maxLines     = 10
	maxNames     = 5    // rules and classes
	maxBytes     = 2800 // Slack takes 3,000 characters in a block

	// Of a message at the end of a pipeline.
	maxEndLines, maxEndBytes = 30, 4000
)

// Of returns what a digest says of a notice of an outcome.
func Of(o event.Outcome, n event.Notice) Item {
	o.NewJobID = 0 // so that the same text is of many
	text, _, _ := strings.Cut(strings.TrimSpace(n.Text), "\n")
	if text == "" {
		plain, err := words.Outcome(o, words.Plain.In(n.Language))
		if err != nil {
			plain = o.Result
		}
		text = mrkdwn.Escape(plain)
	}
	label, address := o.Project.Path, o.Job.URL
	switch {
	case o.Pipeline.ID != 0:
		label, address = fmt.Sprintf("%s #%d", label, o.Pipeline.ID), cmp.Or(o.Pipeline.URL, address)
	case o.Job.Name != "":
		label += " " + o.Job.Name
	}
	result := o.Result
	if o.Action.Verb == event.VerbNotify {
		result = cmp.Or(n.Turn, matched) // nothing was done
	}
	names := n.Rules
	if len(names) == 0 {
		names = []string{o.Rule}
	}
	return Item{
		Result: result, Rules: names, Class: o.Job.FailureClass, Project: o.Project.Path, At: o.At, Link: mrkdwn.Linked(address, mrkdwn.Brief(label, maxItemLabel)), Text: mrkdwn.Cut(text, maxItemText, maxItemText),
		Job: o.Job.Name, Mention: n.Mention, Quiet: n.Quiet,
	}
}

// Text returns the text of a digest: how many outcomes of which kinds, rules and
// failure classes, the first texts with links, each once with its number, and where to see
// all.
func Text(items []Item, s words.Style) (string, error) {
	results, rules, classes := map[string]int{}, map[string]int{}, map[string]int{}
	byText, texts := map[string][]Item{}, []string{}
	since := items[0].At
	for _, i := range items {
		results[i.Result]++
		rules[mrkdwn.Code(mrkdwn.Cut(i.Rules[0], maxItemLabel, maxItemLabel))]++
		if i.Class != "" {
			classes[i.Class]++
		}
		if byText[i.Text] == nil {
			texts = append(texts, i.Text)
		}
		byText[i.Text] = append(byText[i.Text], i)
		if i.At.Before(since) {
			since = i.At
		}
	}
	head, err := s.Say("digest_head", struct {
		Count                   int
		Results, Rules, Classes tally
	}{len(items), tallied(results), tallied(rules), tallied(classes)})
	if err != nil {
		return "", err
	}
	end, err := s.Say("digest_end", since.UTC().Truncate(time.Second).Format(time.RFC3339))
	if err != nil {
		return "", err
	}
	text, shown := head, 0
	for n, t := range texts {
		line := "\n• " + t + " — " + links(byText[t])
		if n == maxLines || len(text)+len(line)+len("\n"+end) > maxBytes {
			break
		}
		text, shown = text+line, shown+len(byText[t])
	}
	if more := len(items) - shown; more > 0 {
		left, err := s.Say("digest_more", more)
		if err != nil {
			return "", err
		}
		text += "\n" + left
	}
	return text + "\n" + end, nil
}

// links returns how many notices have a text, and the first links to their pipelines.
func links(items []Item) string {
	var all []string
	for _, i := range items {
		if !slices.Contains(all, i.Link) {
			all = append(all, i.Link)
		}
	}
	text := strings.Join(all[:min(len(all), maxItemLinks)], ", ")
	if len(all) > maxItemLinks {
		text += ", …"
	}
	if len(items) > 1 {
		text = fmt.Sprintf("×%d: %s", len(items), text)
	}
	return text
}

// tally has words with their numbers, the most frequent first.
type tally struct {
	Count  int // of different words
	First  []frequency
	Others int
}

type frequency struct {
	Word  string
	Times int
}

// tallied returns the tally of counted words.
func tallied(counts map[string]int) tally {
	all := words.MostFrequent(counts)
	t := tally{Count: len(all), Others: max(0, len(all)-maxNames)}
	for _, word := range all[:min(len(all), maxNames)] {
		t.First = append(t.First, frequency{word, counts[word]})
	}
	return t
}

// EndText returns the text of the message at the end of a pipeline: how it ended, "" for
// unknown, and a line for the newest outcome of each job.
func EndText(status string, items []Item, s words.Style) (string, error) {
	text, err := s.Say("pipeline_end", status)
	if err != nil {
		return "", err
	}
	newest := map[string]Item{}
	var jobs []string
	for _, i := range items {
		last, known := newest[i.Job]
		if !i.Requested && !slices.Contains(jobs, i.Job) {
			jobs = append(jobs, i.Job)
		}
		if !known || !i.At.Before(last.At) {
			newest[i.Job] = i
		}
	}
	for n, job := range jobs {
		i := newest[job]
		line := "\n• "
		if name := mrkdwn.Escape(mrkdwn.Brief(job, maxItemLabel)); job != "" && !strings.Contains(i.Text, name) {
			line += name + ": "
		}
		line += i.Text
		if n == maxEndLines || len(text)+len(line) > maxEndBytes {
			more, err := s.Say("digest_more", len(jobs)-n)
			return text + "\n" + more, err
		}
		text += line
	}
	return text, nil
}
