// Package templates has the texts of notifications that rule files can replace: their
// names, and what a set of rule files says in place of the default texts. The default texts
// are those of package words.
package templates

import (
	"cmp"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Names of templates besides those of outcomes and of the turns of states, which are called
// as they are.
const (
	Header  = "header"
	Context = "context"
	Details = "details"
)

// Doc describes a template.
type Doc struct {
	Name    string
	Is      string // what it is about, as a sentence
	Default string // the default text, by an example
}

// Docs describes all templates, in the order of the documentation.
var Docs = []Doc{
	{event.ResultDone, "What was done", "Retried rspec (runner_system_failure), now job 901"},
	{event.ResultDryRun, "What would have been done", "Dry run: would retry rspec (runner_system_failure)"},
	{event.ResultSkipped, "What was refused", "Did not retry rspec: somebody has retried it: job 901"},
	{event.ResultDeferred, "What waits", "Waits to retry rspec (runner_system_failure), and goes on by itself: a storm: …"},
	{event.ResultFailed, "What could not be done", "Could not retry rspec: 403 Forbidden"},
	{event.ResultGaveUp, "What is not tried any more", "Gave up on rspec (runner_system_failure): 3 attempts failed, as many as the rule allows"},
	{event.ResultRecovered, "A job that was retried has passed", "Recovered: rspec, 12m5s after it failed: attempt 2 passed"},
	{event.StateBegan, "A state has turned true", "Rule `red-main` in platform/shop on main: true since 2026-01-01 12:00 UTC, by pipeline #70"},
	{event.StateResolved, "A state has turned false again", "Rule `red-main` in platform/shop on main: over since 2026-01-01 12:30 UTC, by pipeline #71; it was true for 30m"},
	{Header, "The first line of a message in Slack, the title of other messages, and so the subject of a mail. In Slack, what the pipeline came to (gave up, recovered, paused) is added", "Pipeline #70 failed · gave up · platform/shop"},
	{Context, "The second line of a message in Slack", "`main` · `1a2b3c4d` · Cache the dependencies · by Sidney Jones"},
	{Details, "The small print of a reply in Slack; elsewhere the lines of facts", "Rule `retry-infrastructure` · runner_system_failure · stage test · failed · attempt 3 · runner docker-1"},
}

// Names lists the names of all templates.
func Names() []string {
	names := make([]string, len(Docs))
	for i, d := range Docs {
		names[i] = d.Name
	}
	return names
}

// Set has the templates of rule files by their names, each by language.
type Set map[string]map[string]*expression.Template

// All returns all templates.
func (s Set) All() []*expression.Template {
	var all []*expression.Template
	for _, in := range s {
		for _, language := range event.Languages {
			if t := in[language]; t != nil && !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// Part is a part of a notice with the template for it.
type Part struct {
	Name     string // in errors
	Text     *string
	Template *expression.Template
}

// Parts returns the parts of a notice about an outcome for which there are templates. The
// texts of a run of a schedule rule are fixed, and in GitLab a notice is one line. A notice of
// an outcome without a result is the message at the end of a pipeline: it has a header only.
func (s Set) Parts(o event.Outcome, n *event.Notice) (all []Part) {
	language := cmp.Or(n.Language, event.English)
	add := func(name string, text *string) {
		if t := s[name][language]; t != nil {
			all = append(all, Part{"templates." + name, text, t})
		}
	}
	if o.Sweep.ID != "" {
		return nil
	}
	if o.Result == "" {
		add(Header, &n.Header)
		return all
	}
	add(cmp.Or(n.Turn, o.Result), &n.Text)
	if n.Receiver != event.ReceiverGitLab {
		add(Header, &n.Header)
		add(Context, &n.Context)
		add(Details, &n.Details)
	}
	return all
}
