package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Wants reports whether a rule may match the event, by the event's kind and
// status alone. It sends no requests. If a rule retries jobs, or people may, the
// end of a run that may be a retry is wanted too: Attempt is above 1, or 0 because it is
// not known yet. If a rule notifies a receiver at the end of a pipeline, that is wanted, and so is
// each failed job if the logs of all are read.
func (rs *Rules) Wants(e event.Event) bool {
	status := e.Job.Status
	if e.Meta.Kind == event.KindPipeline {
		status = e.Pipeline.Status
	}
	if len(rs.ends) > 0 && e.Meta.Kind == event.KindPipeline && event.Ended(status) {
		return true
	}
	if rs.everyFailure && e.Meta.Kind == event.KindJob && status == "failed" {
		return true
	}
	retried := rs.retries && e.Meta.Kind == event.KindJob && e.Job.Attempt != 1 && (status == "success" || status == "failed" || status == "canceled")
	if len(rs.without) == 0 {
		return retried || rs.index[e.Meta.Kind].wants(status)
	}
	return retried || slices.ContainsFunc(rs.rules, func(r *Rule) bool {
		return r.On == e.Meta.Kind && r.MayMatch(status) && !r.OnlyStops() && !rs.leavesOut(r)
	})
}

// Evaluate runs the rules on the event, in file order, and returns a decision
// for each action that a matching rule requests on each of its jobs. If two
// rules request the same, there is one decision, the first rule's. A rule
// whose expression fails does not match, and the error is returned. Other
// rules are evaluated all the same, except those behind a `stop` whose rule
// may match later because its error is transient. The caller sets ID and
// DecidedAt. If ctx ends before the evaluation begins, Evaluate returns
// nothing.
func (rs *Rules) Evaluate(ctx context.Context, e event.Event, facts expression.Facts) ([]event.Decision, []*RuleError) {
	return rs.EvaluateTraced(ctx, e, facts, nil)
}

// EvaluateTraced is Evaluate, and adds to the trace what it did with each rule.
func (rs *Rules) EvaluateTraced(ctx context.Context, e event.Event, facts expression.Facts, trace *Trace) ([]event.Decision, []*RuleError) {
	var found candidates
	rs.index[e.Meta.Kind].find(&e, &found)
	readLog := rs.everyFailure && trace != nil && trace.KeepsUnknown && hasFailed(e)
	if found.n == 0 && !readLog {
		trace.looked(e, nil)
		return nil, nil
	}
	ev, err := rs.evaluation(ctx, e, facts)
	if err != nil {
		return nil, nil
	}
	defer ev.End()
	var errs []*RuleError
	left := shares{work: limits.EventWork, rules: found.rules()}
	for position, ok := found.next(); ok; position, ok = found.next() {
		r := rs.rules[position]
		without := rs.leavesOut(r)
		if without && !r.Stop || !r.Schedule.covers(&e) {
			left.skip()
			trace.passedOver(r, without)
			continue
		}
		wanted, err := left.rule(ev, r)
		trace.ran(r, without, wanted, err)
		if err != nil {
			errs = append(errs, err)
			if r.Stop && event.Transient(err) {
				break
			}
			continue
		}
		if wanted == nil {
			continue
		}
		if !without {
			for _, d := range wanted {
				ev.add(d)
			}
		}
		if r.Stop {
			break
		}
	}
	if readLog {
		ev.ReadLog()
	}
	trace.looked(e, ev.Session)
	return ev.decisions, errs
}

// evaluation begins an evaluation as soon as the rules' Capacity allows. The
// only error is that of ctx.
func (rs *Rules) evaluation(ctx context.Context, e event.Event, facts expression.Facts) (*evaluation, error) {
	session, err := expression.Begin(ctx, rs.capacity, e, facts, rs.classes)
	if err != nil {
		return nil, err
	}
	return &evaluation{Session: session}, nil
}

// shares divides the work for an event among its rules: each rule may use an
// equal share of the work that remains after the rules before it.
type shares struct {
	work  int // remaining units of work
	rules int // rules that have not been evaluated yet
}

// rule evaluates the next rule within its share.
func (s *shares) rule(ev *evaluation, r *Rule) ([]event.Decision, *RuleError) {
	share := min(limits.RuleWork, s.work/max(s.rules, 1))
	ev.Allot(r.Name, share)
	wanted, err := ev.rule(r)
	s.work -= share - ev.Left()
	s.skip()
	return wanted, err
}

// skip passes over a rule that is not evaluated.
func (s *shares) skip() { s.rules-- }

// rule returns the decisions of a rule; nil if it does not match. A rule that
// only stops has none when it matches.
func (ev *evaluation) rule(r *Rule) ([]event.Decision, *RuleError) {
	if r.Condition != nil {
		matched, err := ev.Run(r.Condition)
		if err != nil {
			return nil, &RuleError{r.Name, "if", err}
		}
		if matched != true {
			return nil, nil
		}
	}
	if r.OnlyStops() {
		return []event.Decision{}, nil
	}
	why := ev.explain(r, event.PartTrue)
	if len(r.Actions) == 0 {
		d, err := ev.notification(r)
		if err != nil {
			return nil, err
		}
		d.Explanation = why
		return []event.Decision{d}, nil
	}
	decisions := []event.Decision{}
	var before []string // keys of the preceding action's decisions
	for _, a := range r.Actions {
		targets, err := ev.targets(a)
		if err != nil {
			return nil, &RuleError{r.Name, a.Verb + ".jobs", err}
		}
		var keys []string
		for i, t := range targets {
			if t.idle {
				continue
			}
			d, err := ev.decide(r, a, t)
			if err != nil {
				return nil, err
			}
			d.After, d.Explanation = before, why
			if i > 0 && a.Wait == event.WaitSuccess {
				d.AfterSuccess = targets[i-1].waitedFor()
				if !targets[i-1].idle {
					d.After = keys[len(keys)-1 : len(keys) : len(keys)]
				}
			}
			decisions = append(decisions, d)
			keys = append(keys, d.Key)
		}
		if len(keys) > 0 {
			before = keys
		}
	}
	return decisions, nil
}

func (ev *evaluation) decide(r *Rule, a Action, t target) (event.Decision, *RuleError) {
	d := event.Decision{Event: ev.Event, Rule: r.Name, RulesHash: r.Hash, Action: a.Action, Bridge: t.bridge, Missing: t.missing, DryRun: r.DryRun}
	d.Job = t.job
	if t.missing {
		d.Key = a.key(d)
		return d, nil
	}
	if a.Verb == event.VerbRetry { // budgets and the breaker use the class
		class, err := ev.FailureClass(t.job)
		if err != nil {
			return d, &RuleError{r.Name, a.Verb + ".class", err}
		}
		d.Job.FailureClass = cmp.Or(class, d.Job.FailureClass)
	}
	// Texts read the job that is acted on, which may differ from the event's.
	session := ev.Session
	if !a.OfEvent() && len(a.templates())+len(a.Inputs) > 0 {
		session = ev.For(d.Event)
	}
	var err *RuleError
	if d.Action.Variables, err = renderAll(session, r, "variables", a.Variables); err != nil {
		return d, err
	}
	if d.Action.Inputs, err = evaluateInputs(session, r, a.Inputs); err != nil {
		return d, err
	}
	var failed error
	if d.Action.Confirm, failed = a.Confirm.name(session); failed != nil { // else nobody would be asked
		return d, &RuleError{r.Name, "confirm", failed}
	}
	d.Key = a.key(d)
	if d.DryRun {
		d.Key += ":dry" // a dry run must not suppress the real decision
	}
	return d, nil
}

// key returns the decision's key. It contains the state of the job or
// pipeline: an action that was refused in one state may be requested again in
// another, and a retried pipeline may end again.
func (a Action) key(d event.Decision) string {
	switch {
	case d.Missing: // once for each pipeline
		return fmt.Sprintf("%s:%s:%d:pipeline:%d:missing:%s", a.Verb, d.Meta.Instance, d.Project.ID, d.Pipeline.ID, d.Job.Name)
	case a.Verb == event.VerbPlay && d.Meta.Kind == event.KindPipeline:
		// A refused action may be possible after other jobs have changed.
		return fmt.Sprintf("%s:%s:%d:%d:%s:%d", a.Verb, d.Meta.Instance, d.Project.ID, d.Job.ID, d.Job.Status, latestJob(d.Event))
	case a.Verb == event.VerbCancelOutdated: // once for each new pipeline
		return fmt.Sprintf("%s:%s:%d:pipeline:%d", a.Verb, d.Meta.Instance, d.Project.ID, d.Pipeline.ID)
	case !event.OfPipeline(a.Verb):
		return fmt.Sprintf("%s:%s:%d:%d:%s", a.Verb, d.Meta.Instance, d.Project.ID, d.Job.ID, d.Job.Status)
	case d.Meta.Kind == event.KindPipeline:
		return fmt.Sprintf("%s:%s:%d:%s", a.Verb, d.Meta.Instance, d.Project.ID, stateOf(d.Event))
	}
	return fmt.Sprintf("%s:%s:%d:pipeline:%d:%s", a.Verb, d.Meta.Instance, d.Project.ID, d.Pipeline.ID, stateOf(d.Event))
}

// stateOf identifies the state of the event's job or pipeline. It differs if
// and only if the state has changed.
func stateOf(e event.Event) string {
	if e.Meta.Kind != event.KindPipeline {
		return fmt.Sprintf("job:%d:%s", e.Job.ID, e.Job.Status)
	}
	return fmt.Sprintf("pipeline:%d:%s:%d:%d", e.Pipeline.ID, e.Pipeline.Status, latestJob(e), e.Pipeline.FinishedAt.Unix())
}

// latestJob returns the id of the newest job of a pipeline event. It changes
// when a job is retried.
func latestJob(e event.Event) int64 {
	latest := int64(0)
	for _, j := range e.Pipeline.Jobs {
		latest = max(latest, j.ID)
	}
	return latest
}

func renderAll(s *expression.Session, r *Rule, what string, texts map[string]expression.Template) (map[string]string, *RuleError) {
	if len(texts) == 0 {
		return nil, nil
	}
	rendered := make(map[string]string, len(texts))
	for name, t := range texts {
		text, err := s.Text(t, func(text string) string { return text })
		if err != nil {
			return nil, &RuleError{r.Name, what + "." + name, err}
		}
		rendered[name] = text
	}
	return rendered, nil
}

// notification returns the decision of a rule without actions. Two hooks (a
// group's and a project's) about the same state result in one notification, unless a state
// in `notify` has another value in the second: it may be that of a job.
func (ev *evaluation) notification(r *Rule) (event.Decision, *RuleError) {
	e := ev.Event
	states, err := ev.states(r)
	if err != nil {
		return event.Decision{}, err
	}
	together, err := ev.together(r)
	if err != nil {
		return event.Decision{}, err
	}
	key := []string{event.VerbNotify, r.Name, e.Meta.Instance, strconv.FormatInt(e.Project.ID, 10), stateOf(e)}
	for _, s := range states {
		key = append(key, strconv.FormatBool(s.Value))
	}
	return event.Decision{
		Event: e, Rule: r.Name, RulesHash: r.Hash, Action: event.Action{Verb: event.VerbNotify}, DryRun: r.DryRun,
		States: states, Together: together, Key: strings.Join(key, ":"),
	}, nil
}

// add adds a decision, unless an earlier rule requests the same. A play that any of the
// rules has confirmed is confirmed.
func (ev *evaluation) add(d event.Decision) {
	if i, ok := ev.byKey[d.Key]; ok {
		first := &ev.decisions[i]
		if first.Rule != d.Rule && !slices.Contains(first.AlsoWantedBy, d.Rule) {
			first.AlsoWantedBy = append(first.AlsoWantedBy, d.Rule)
		}
		if first.Action.Confirm == "" {
			first.Action.Confirm, first.Action.ConfirmWithin, first.Action.ConfirmLanguage = d.Action.Confirm, d.Action.ConfirmWithin, d.Action.ConfirmLanguage
		}
		return
	}
	if ev.byKey == nil {
		ev.byKey = map[string]int{}
	}
	ev.byKey[d.Key] = len(ev.decisions)
	ev.decisions = append(ev.decisions, d)
}

// evaluateInputs returns the inputs as JSON, by name.
func evaluateInputs(s *expression.Session, r *Rule, all map[string]expression.Input) (map[string]json.RawMessage, *RuleError) {
	if len(all) == 0 {
		return nil, nil
	}
	values := make(map[string]json.RawMessage, len(all))
	for name, in := range all {
		value, err := s.Input(in)
		if err != nil {
			return nil, &RuleError{r.Name, "inputs." + name, err}
		}
		values[name] = value
	}
	return values, nil
}

// evaluation is the state of the evaluation of one event.
type evaluation struct {
	*expression.Session
	decisions []event.Decision
	byKey     map[string]int // index in decisions
}

// explain returns why the condition of a rule, which was evaluated before, had
// this result.
func (ev *evaluation) explain(r *Rule, result string) event.Explanation {
	if r.Clauses == nil {
		return event.Explanation{}
	}
	return ev.Explain(r.Clauses(), result)
}

// FailureClass returns the failure class of the event's job as a condition reads it in
// job.failure_class: by its log, if the rule files define classes. An error is that of the
// facts, or ctx's.
func (rs *Rules) FailureClass(ctx context.Context, e event.Event, facts expression.Facts) (string, error) {
	ev, err := rs.evaluation(ctx, e, facts)
	if err != nil {
		return "", err
	}
	defer ev.End()
	ev.Allot("", limits.RuleWork)
	class, err := ev.FailureClass(e.Job)
	return cmp.Or(class, e.Job.FailureClass), err
}
