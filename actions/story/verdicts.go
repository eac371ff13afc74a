package story

import (
	"context"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxRules is how many rules one event has in a story.
const maxRules = 200

// verdicts returns what each rule for such events made of the event: as it was recorded
// then, with the explanation that the rules in force give, if they are the same as then.
// changed says that they are not.
func (b *Builder) verdicts(ctx context.Context, ev *evaluated.Evaluation, in words.Style) (all []Rule, changed bool, err error) {
	inForce := b.Rules()
	steps := map[string]rules.Step{}
	for _, s := range ev.Steps {
		steps[s.Rule] = s
	}
	if inForce.Fingerprint() != ev.Rules {
		for _, s := range ev.Steps {
			all = append(all, Rule{Rule: s.Rule, Result: s.Result, acts: acts(inForce.Rule(s.Rule), &ev.Record.Event)})
		}
		return all, true, texts(all, ev, nil, in)
	}
	explained := inForce.Explain(ctx, ev.Record.Event, b.Facts())
	reasons := map[string]string{}
	for _, v := range explained {
		if v.Result == rules.VerdictOtherKind {
			continue
		}
		r := Rule{Rule: v.Rule, File: v.File, Line: v.Line, Result: v.Result, Explanation: v.Explanation, acts: acts(inForce.Rule(v.Rule), &ev.Record.Event)}
		reasons[v.Rule] = v.Reason
		was, recorded := steps[v.Rule]
		if !recorded {
			was = unrecorded(v, ev.StoppedBy)
		}
		if ev.Cut || was.Result != v.Result {
			// The event is not whole, or what the condition asked of GitLab has changed.
			r.Result, r.Explanation, reasons[v.Rule] = was.Result, event.Explanation{}, was.Reason
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Rule) int { return rank(a) - rank(b) })
	return all[:min(len(all), maxRules)], false, texts(all, ev, reasons, in)
}

// unrecorded returns what an evaluation made of a rule that it did not record: it can't
// have matched or failed.
func unrecorded(v rules.Verdict, stoppedBy string) rules.Step {
	s := rules.Step{Rule: v.Rule, Result: v.Result, Reason: v.Reason}
	if v.Result == rules.VerdictMatched || v.Result == rules.VerdictFailed {
		s.Result, s.Reason = rules.VerdictNotMatched, ""
		if stoppedBy != "" {
			s.Result = rules.VerdictNotReached
		}
	}
	return s
}

// acts reports whether the rule has an action that may be expected on the event: a
// retry, if it is a failure, else any.
func acts(r *rules.Rule, e *event.Event) bool {
	if r == nil {
		return false
	}
	status := e.Job.Status
	if e.Meta.Kind == event.KindPipeline {
		status = e.Pipeline.Status
	}
	verbs := r.Verbs()
	if status == "failed" {
		return slices.Contains(verbs, event.VerbRetry) || slices.Contains(verbs, event.VerbRetryPipeline)
	}
	return !slices.Contains(verbs, event.VerbNotify)
}

// rank puts first what somebody looks for who asks why nothing was done.
func rank(r Rule) int {
	switch {
	case r.Result == rules.VerdictMatched, r.Result == rules.VerdictFailed:
		return 0
	case r.acts:
		return 1
	}
	return 2
}

// verdictView is the data of the blocks verdict_….
type verdictView struct {
	Rule      string
	Reason    string
	Because   []reading // the parts of the condition that decided
	FalseToo  int       // how many more parts did
	StoppedBy string
}

// reading is a part of a condition, or something that it read, with its value or its error.
type reading struct{ Text, Value, Error string }

// texts sets the text of each verdict.
func texts(all []Rule, ev *evaluated.Evaluation, reasons map[string]string, in words.Style) error {
	for i := range all {
		r := &all[i]
		v := verdictView{Rule: r.Rule, Reason: reasons[r.Rule], StoppedBy: ev.StoppedBy}
		v.Because, v.FalseToo = because(r.Explanation.If)
		if v.Reason == "" {
			if at := slices.IndexFunc(ev.Steps, func(s rules.Step) bool { return s.Rule == r.Rule }); at >= 0 {
				v.Reason = ev.Steps[at].Reason
			}
		}
		var err error
		if r.Text, err = in.Say("verdict_"+r.Result, v); err != nil {
			return err
		}
	}
	return nil
}

// maxParts is how many parts of a condition a line names.
const maxParts = 2

// because returns the parts that made a condition false, with the values that they
// read, as in `job.failure_reason is "script_failure"`, and how many more there are; none if
// that is not known.
func because(condition event.Part) (readings []reading, more int) {
	var parts []event.Part
	var collect func(p event.Part)
	collect = func(p event.Part) {
		if !p.Decided || p.Result == event.PartNotReached {
			return
		}
		if p.Operator == "" {
			parts = append(parts, p)
		}
		for _, part := range p.Parts {
			collect(part)
		}
	}
	if condition.Text == "" || condition.Result == event.PartTrue {
		return nil, 0
	}
	collect(condition)
	for _, p := range parts[:min(len(parts), maxParts)] {
		readings = append(readings, saying(p)...)
	}
	return readings, max(0, len(parts)-maxParts)
}

// saying returns a part of a condition, or what it read.
func saying(p event.Part) []reading {
	if p.Error != "" {
		return []reading{{Text: p.Text, Error: p.Error}}
	}
	var seen []reading
	for _, s := range p.Seen {
		// failed_with() reads the status, too, which says nothing if it is failed.
		if s.Text == "job.status" && s.Value == `"failed"` && len(p.Seen) > 1 {
			continue
		}
		if s.Value == "hidden" || strings.HasPrefix(s.Value, "a text of length ") { // a log, for instance
			seen = nil
			break
		}
		seen = append(seen, reading{Text: s.Text, Value: s.Value})
	}
	if len(seen) == 0 {
		return []reading{{Text: p.Text, Value: p.Result}}
	}
	return seen
}

// nearest returns the rule of those that did not match whose condition came nearest to
// it: with the most parts that were true; nil if there is none.
func nearest(all []Rule) (best *Rule, of int) {
	most := -1
	for i := range all {
		r := &all[i]
		if r.Result != rules.VerdictNotMatched || !r.acts {
			continue
		}
		of++
		if n := trueParts(r.Explanation.If); n > most {
			best, most = r, n
		}
	}
	return best, of
}

// trueParts counts the parts of a condition that were true.
func trueParts(p event.Part) (n int) {
	if p.Operator == "" && p.Result == event.PartTrue {
		return 1
	}
	for _, part := range p.Parts {
		n += trueParts(part)
	}
	return n
}
