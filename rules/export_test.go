package rules

import "context"

// EvaluateAll is what Evaluate promises to be: all rules, one after the other.
func (rs *Rules) EvaluateAll(ctx context.Context, e Event, facts Facts) ([]Decision, []*RuleError) {
	ev := newEvaluation(ctx, &permit{}, e, facts, rs.classes)
	defer ev.end()
	var errs []*RuleError
	for _, r := range rs.rules {
		if r.on != e.Meta.Kind {
			continue
		}
		wanted, err := ev.rule(r)
		if err != nil {
			errs = append(errs, err)
		}
		for _, d := range wanted {
			ev.add(d)
		}
		if r.stop && (wanted != nil || err != nil && Passes(err)) {
			break
		}
	}
	return ev.decisions, errs
}

// Candidates gives how many rules Evaluate runs on the event, if none stops it.
func (rs *Rules) Candidates(e Event) int {
	var found candidates
	rs.index[e.Meta.Kind].find(&e, &found)
	return found.rules()
}
