package page

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
)

// rulesInForce are the rules, with what became of them lately.
type rulesInForce struct {
	admin.RulesState
	Since  time.Time // since when Events were evaluated
	Events int
	Rows   []ruleRow
}

// ruleRow is a rule.
type ruleRow struct {
	rules.Summary
	Activity  admin.RuleActivity
	Decisions int // of the last day
	Retries   retriesOfRule
}

// retriesOfRule is what became of the retries of a rule, in the last day.
type retriesOfRule struct {
	Started  int      `json:"started"`
	PassRate *float64 `json:"pass_rate"`
}

// State returns the state of the rule for people.
func (r *ruleRow) State() string {
	switch {
	case !r.Activity.LastFailed.IsZero() && !r.Activity.LastFailed.Before(r.Activity.LastMatch):
		return "failed"
	case r.DryRun:
		return "dry_run"
	case r.Activity.Matched > 0:
		return "matched"
	default:
		return "waiting"
	}
}

func readRules(r *request) (any, error) {
	var all rulesInForce
	if err := r.get("/api/v1/rules", nil, &all.RulesState); err != nil {
		return nil, err
	}
	var activity admin.Activity
	if err := r.get("/api/v1/rules/activity", nil, &activity); err != nil {
		return nil, err
	}
	var report struct {
		Rules []struct {
			Name     string         `json:"name"`
			Outcomes map[string]int `json:"outcomes"`
			Retries  retriesOfRule  `json:"retries"`
		} `json:"rules"`
	}
	if err := r.get("/api/v1/report", url.Values{"since": {"1d"}}, &report); err != nil { // the sums of more may take seconds
		return nil, err
	}
	all.Since, all.Events = activity.Since, activity.Events
	for _, rule := range all.Rules {
		row := ruleRow{Summary: rule}
		for _, a := range activity.Rules {
			if a.Rule == rule.Name {
				row.Activity = a
			}
		}
		for _, sums := range report.Rules {
			if sums.Name == rule.Name {
				row.Retries = sums.Retries
				for n := range maps.Values(sums.Outcomes) {
					row.Decisions += n
				}
			}
		}
		all.Rows = append(all.Rows, row)
	}
	slices.SortStableFunc(all.Rows, func(a, b ruleRow) int { return cmp.Compare(order(a), order(b)) })
	return all, nil
}

// order returns the place of a rule in the list: those that fail come first.
func order(r ruleRow) int {
	if r.State() == "failed" {
		return 0
	}
	return 1
}

// rulesChanges are what the forms of the view do.
var rulesChanges = map[string]change{
	"reload": {done: "The rule files and the files with secrets were read again.", fields: []field{by, reason}, do: func(r *request) ([]string, error) {
		return nil, r.post("/-/reload", admin.ChangeRequest{By: r.Get("by"), Reason: r.Get("reason")}, new(any))
	}},
}
