package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pipesteward/pipesteward/actions/explain"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxVerdicts is how many rules are explained at most.
const maxVerdicts = 30

type explainInput struct {
	Job   string          `json:"job,omitempty" jsonschema:"the address of a job or a pipeline in GitLab; give this or event"`
	Event json.RawMessage `json:"event,omitempty" jsonschema:"the body of a GitLab job or pipeline webhook; give this or job"`
	Rule  string          `json:"rule,omitempty" jsonschema:"only the rule of this name; default: all"`
}

type explanation struct {
	Event   string  `json:"event"` // in one line
	Project string  `json:"project"`
	Ref     string  `json:"ref,omitzero"`
	Rules   []ruled `json:"rules" jsonschema:"in file order; rules for other kinds of events are left out"`
	// Unknown are fields that rules read and that are empty because GitLab's API does not
	// tell them.
	Unknown []explain.UnknownField `json:"unknown,omitempty" jsonschema:"fields that rules read and that only the body of a webhook has: here they are empty"`
}

// ruled is what one rule makes of the event.
type ruled struct {
	Rule        string                `json:"rule"`
	File        string                `json:"file,omitzero"`
	Line        int                   `json:"line,omitzero"`
	Result      string                `json:"result" jsonschema:"matched, not_matched, failed (an expression failed, so it does not match) or not_reached (behind a rule with stop)"`
	Reason      string                `json:"reason,omitzero"`
	Explanation event.Explanation     `json:"explanation,omitzero"`
	Stops       bool                  `json:"stops,omitzero" jsonschema:"the rules after it are not evaluated"`
	Actions     []string              `json:"actions,omitempty" jsonschema:"what the rule wants done"`
	DryRun      bool                  `json:"dry_run,omitzero" jsonschema:"the actions would not be carried out"`
	Notify      []rules.NotifySummary `json:"notify,omitempty"`
}

func explainEvent(ctx context.Context, from Sources, in explainInput) (e explanation, notes []string, err error) {
	var x explain.Explained
	switch {
	case (in.Job == "") == (len(in.Event) == 0):
		return e, nil, errors.New("give one of job, the address of a job or a pipeline in GitLab, and event, the body of a webhook")
	case in.Job != "":
		x, err = from.Explainer.Page(ctx, in.Job)
	default:
		x, err = from.Explainer.Hook(ctx, in.Event, "mcp")
	}
	if err != nil {
		return e, nil, err
	}
	e = explanation{Event: words.Event(&x.Event), Project: x.Event.Project.Path, Ref: cmp.Or(x.Event.Job.Ref, x.Event.Pipeline.Ref), Rules: []ruled{}, Unknown: x.Unknown}
	others, found := 0, false
	for _, v := range x.Rules {
		switch {
		case in.Rule != "" && in.Rule != v.Rule:
			continue
		case v.Result == rules.VerdictOtherKind:
			others++
		default:
			e.Rules = append(e.Rules, ruledBy(v))
		}
		found = true
	}
	switch {
	case in.Rule != "" && !found:
		return e, nil, fmt.Errorf("there is no rule %q: leave rule out to see all", in.Rule)
	case others > 0:
		notes = append(notes, fmt.Sprintf("rules for other kinds of events than %s events, which are left out: %d", x.Event.Meta.Kind, others))
	}
	if len(e.Rules) > maxVerdicts { // those that do something are kept
		slices.SortStableFunc(e.Rules, func(a, b ruled) int { return rank(a) - rank(b) })
		notes = append(notes, "the rules that match or fail are first")
	}
	var cut []string
	e.Rules, cut = first(e.Rules, maxVerdicts, "rules", "give the name of one as rule")
	return e, append(notes, cut...), nil
}

// rank orders rules by what matters.
func rank(r ruled) int {
	return slices.Index([]string{rules.VerdictMatched, rules.VerdictFailed, rules.VerdictNotMatched, rules.VerdictNotReached}, r.Result)
}

// ruledBy returns a verdict as the tool shows it.
func ruledBy(v rules.Verdict) ruled {
	r := ruled{Rule: v.Rule, File: v.File, Line: v.Line, Result: v.Result, Reason: v.Reason, Explanation: v.Explanation, Stops: v.Stops, Notify: v.Notify}
	for _, d := range v.Decisions {
		r.Actions, r.DryRun = append(r.Actions, words.Action(&d)), r.DryRun || d.DryRun
	}
	return r
}
