package rules

import (
	"slices"
	"time"
)

// Summary describes a rule, for people.
type Summary struct {
	Name    string          `json:"name"`
	File    string          `json:"file"`
	Line    int             `json:"line"`
	Hash    string          `json:"hash"` // SHA-256 of the file, in hex
	On      string          `json:"on"`
	Cron    string          `json:"cron,omitzero"`
	NextRun time.Time       `json:"next_run,omitzero"` // when the schedule is due next, once WithNextRuns has set it
	If      string          `json:"if,omitzero"`
	Actions []string        `json:"actions,omitempty"` // verbs
	Notify  []NotifySummary `json:"notify,omitempty"`
	Stop    bool            `json:"stop,omitzero"`
	DryRun  bool            `json:"dry_run,omitzero"`
}

// NotifySummary names the outcomes that a rule sends to a channel, or the state.
type NotifySummary struct {
	Receiver string   `json:"receiver"`
	Channel  string   `json:"channel,omitzero"` // as the rule file has it
	Mention  []string `json:"mention,omitempty"`
	When     []string `json:"when,omitempty"`
	Language string   `json:"language,omitzero"`
	State    string   `json:"state,omitzero"` // the expression of whose turns it notifies, in place of outcomes
}

// Summaries returns the summaries of all rules, in file order.
func (rs *Rules) Summaries() []Summary {
	all := make([]Summary, len(rs.rules))
	for i, r := range rs.rules {
		all[i] = Summary{
			Name: r.Name, File: r.File, Line: r.Line, Hash: r.Hash,
			On: r.On, Cron: r.Schedule.Cron, If: r.Source, Notify: r.notify(), Stop: r.Stop, DryRun: r.DryRun,
		}
		for _, a := range r.Actions {
			all[i].Actions = append(all[i].Actions, a.Verb)
		}
	}
	return all
}

// WithNextRuns returns the summaries with the first time after now at which each schedule is
// due, in UTC. Summaries of rules that are no longer among rs are left as they are.
func (rs *Rules) WithNextRuns(all []Summary, now time.Time) []Summary {
	all = slices.Clone(all)
	for i := range all {
		if r := rs.Rule(all[i].Name); r != nil && r.Schedule.Times != nil {
			if next := r.Schedule.Next(now); !next.IsZero() {
				all[i].NextRun = next.UTC()
			}
		}
	}
	return all
}

func (r *Rule) notify() []NotifySummary {
	var all []NotifySummary
	for _, n := range r.Notify {
		s := NotifySummary{Receiver: n.Receiver, Channel: n.Channel.Source, Mention: n.Mention, When: n.When, Language: n.Language}
		if n.State != nil {
			s.State = n.State.Source
		}
		all = append(all, s)
	}
	return all
}
