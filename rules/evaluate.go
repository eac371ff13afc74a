package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Notice is a message that a rule wants told.
type Notice struct {
	Channel string
	Text    string // "" where the rule leaves the words to the default
}

// Wants reports whether any rule can want the event, by its kind and status
// alone. It asks nothing and costs nothing. The end of a run that a retry may
// have made is wanted too: the first run of a job is none, and an Attempt of 0
// is not known yet.
func (rs *Rules) Wants(e event.Event) bool {
	status := e.Job.Status
	if e.Meta.Kind == event.KindPipeline {
		status = e.Pipeline.Status
	}
	retried := rs.retries && e.Meta.Kind == event.KindJob && e.Job.Attempt != 1 && (status == "success" || status == "failed")
	if len(rs.without) == 0 {
		return retried || rs.index[e.Meta.Kind].wants(status)
	}
	return retried || slices.ContainsFunc(rs.rules, func(r *Rule) bool {
		return r.On == e.Meta.Kind && (r.statuses == nil || r.statuses[status]) && !rs.leavesOut(r)
	})
}

// Evaluate runs the rules on the event, in file order, and gives a decision
// for each action that a matching rule wants on each of its jobs. What two
// rules want alike is one decision, the first rule's. An expression that
// fails keeps its rule from firing and comes back as an error; the other
// rules are evaluated all the same, but for those behind a `stop` whose rule
// may yet match, because the error passes. ID and DecidedAt are left to the
// caller. When ctx ends before the evaluation begins, nothing is given.
func (rs *Rules) Evaluate(ctx context.Context, e event.Event, facts expression.Facts) ([]event.Decision, []*RuleError) {
	var found candidates
	rs.index[e.Meta.Kind].find(&e, &found)
	if found.n == 0 {
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
			continue
		}
		wanted, err := left.rule(ev, r)
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
	return ev.decisions, errs
}

// Notices gives what the rules that wanted the outcome's decision want told of
// it, one notice for each channel, texts rendered, each value in them passed
// through escape. A text that can't be rendered is an error, and its notice
// has the default text. A rule that is gone since tells nothing.
func (rs *Rules) Notices(ctx context.Context, o event.Outcome, facts expression.Facts, escape func(string) string) ([]Notice, []*RuleError) {
	ev, err := rs.evaluation(ctx, o.Event, facts)
	if err != nil {
		return nil, nil
	}
	defer ev.End()
	var notices []Notice
	var errs []*RuleError
	names := append([]string{o.Rule}, o.AlsoWantedBy...)
	for _, name := range names {
		r := rs.byName[name]
		if r == nil {
			continue
		}
		ev.Allot(r.Name, min(limits.RuleWork, limits.EventWork/len(names)))
		for _, n := range r.Receivers {
			told := slices.ContainsFunc(notices, func(other Notice) bool { return other.Channel == n.Channel })
			if told || !slices.Contains(n.When, o.Result) {
				continue
			}
			text, err := n.render(ev, escape)
			if err != nil {
				errs = append(errs, &RuleError{r.Name, "text", err})
			}
			notices = append(notices, Notice{n.Channel, text})
		}
	}
	return notices, errs
}

// Notifies reports whether there are Notices of the outcome. It renders no text.
func (rs *Rules) Notifies(o event.Outcome) bool {
	notifies := func(name string) bool {
		r := rs.byName[name]
		return r != nil && slices.ContainsFunc(r.Receivers, func(n Receiver) bool { return slices.Contains(n.When, o.Result) })
	}
	return notifies(o.Rule) || slices.ContainsFunc(o.AlsoWantedBy, notifies)
}

// render gives the notice's text; "" where it has none or can't be rendered.
func (n Receiver) render(ev *evaluation, escape func(string) string) (string, error) {
	if n.Text == nil {
		return "", nil
	}
	return ev.Text(*n.Text, escape)
}

// evaluation begins an evaluation as soon as the rules' Capacity allows it. The
// only error is ctx's.
func (rs *Rules) evaluation(ctx context.Context, e event.Event, facts expression.Facts) (*evaluation, error) {
	session, err := expression.Begin(ctx, rs.capacity, e, facts, rs.classes)
	if err != nil {
		return nil, err
	}
	return &evaluation{Session: session, event: e}, nil
}

// shares divides the work that an event may cost among its rules: each may use
// an equal share of what those before it left.
type shares struct {
	work  int // units left
	rules int // those that are yet to be evaluated
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

// rule gives what the rule wants: nil when it does not match.
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
	why := ev.explain(r, event.PartTrue)
	if len(r.Actions) == 0 {
		d := ev.notification(r)
		d.Explanation = why
		return []event.Decision{d}, nil
	}
	decisions := []event.Decision{}
	var before []string // keys of the action before
	for _, a := range r.Actions {
		targets, err := ev.targets(a)
		if err != nil {
			return nil, &RuleError{r.Name, a.Verb + ".jobs", err}
		}
		var keys []string
		for i, t := range targets {
			d, err := ev.decide(r, a, t)
			if err != nil {
				return nil, err
			}
			d.After, d.Explanation = before, why
			if i > 0 && a.Wait == event.WaitSuccess {
				d.After, d.AfterSuccess = keys[i-1:i:i], targets[i-1].job.Name
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

// target is what an action is for: a job, or for the verbs of pipelines the
// event as it is.
type target struct {
	job    event.Job
	bridge bool
}

// targets gives what the action is for.
func (ev *evaluation) targets(a Action) ([]target, error) {
	if a.Jobs == nil {
		t := target{job: ev.event.Job, bridge: ev.event.Job.Bridge}
		if t.bridge && !event.SupportsBridges(a.Verb) && !event.OfPipeline(a.Verb) {
			return nil, nil
		}
		return []target{t}, nil
	}
	value, err := ev.Run(a.Jobs)
	if err != nil {
		return nil, err
	}
	list := reflect.ValueOf(value)
	if list.Kind() != reflect.Slice {
		return nil, fmt.Errorf("gave a %T, not a list of jobs", value)
	}
	if n := list.Len(); n > maxTargets {
		return nil, fmt.Errorf("gave %d jobs, more than %d", n, maxTargets)
	}
	targets := make([]target, list.Len())
	for i := range targets {
		switch item := list.Index(i).Interface().(type) {
		case event.Job:
			targets[i].job = item
		case event.Details:
			targets[i].job = item.Job
		case event.Bridge:
			if !event.SupportsBridges(a.Verb) {
				return nil, expression.ErrBridge
			}
			targets[i] = target{ev.jobOf(item), true}
		default:
			return nil, fmt.Errorf("gave a list that holds a %T, not a job", item)
		}
	}
	return targets, nil
}

// jobOf gives what a bridge has of a job. GitLab does not tell which attempt
// it is.
func (ev *evaluation) jobOf(b event.Bridge) event.Job {
	p := ev.event.Pipeline
	return event.Job{
		ID: b.ID, Name: b.Name, Stage: b.Stage, Status: b.Status, URL: b.URL,
		FailureReason: b.FailureReason, FailureClass: event.ClassOf(b.FailureReason), AllowFailure: b.AllowFailure,
		Manual: b.Status == "manual", Bridge: true, Attempt: 1, Ref: p.Ref, Tag: p.Tag,
	}
}

func (ev *evaluation) decide(r *Rule, a Action, t target) (event.Decision, *RuleError) {
	d := event.Decision{Event: ev.event, Rule: r.Name, RulesHash: r.Hash, Action: a.Action, Bridge: t.bridge, DryRun: r.DryRun}
	d.Job = t.job
	if a.Verb == event.VerbRetry { // whose budgets and breaker go by the class
		class, err := ev.FailureClass(t.job)
		if err != nil {
			return d, &RuleError{r.Name, a.Verb + ".class", err}
		}
		d.Job.FailureClass = cmp.Or(class, d.Job.FailureClass)
	}
	// The texts see the job that is acted on, which may not be the event's.
	session := ev.Session
	if a.Jobs != nil && len(a.Variables)+len(a.Inputs) > 0 {
		session = ev.For(d.Event)
	}
	var err *RuleError
	if d.Action.Variables, err = renderAll(session, r, "variables", a.Variables); err != nil {
		return d, err
	}
	if d.Action.Inputs, err = evaluateInputs(session, r, a.Inputs); err != nil {
		return d, err
	}
	d.Key = a.key(d)
	if d.DryRun {
		d.Key += ":dry" // a dry run must not stand in the way of the real thing
	}
	return d, nil
}

// key gives the decision's key. The state is part of it: an action that was
// refused because the job was not there yet may be wanted again, and a
// pipeline that was retried may end once more.
func (a Action) key(d event.Decision) string {
	switch {
	case a.Verb == event.VerbPlay && d.Meta.Kind == event.KindPipeline:
		// What was refused may be called for when other jobs have moved on.
		return fmt.Sprintf("%s:%s:%d:%d:%s:%d", a.Verb, d.Meta.Instance, d.Project.ID, d.Job.ID, d.Job.Status, latestJob(d.Event))
	case a.Verb == event.VerbCancelOutdated: // once for each new pipeline
		return fmt.Sprintf("%s:%s:%d:pipeline:%d", a.Verb, d.Meta.Instance, d.Project.ID, d.Pipeline.ID)
	case !event.OfPipeline(a.Verb):
		return fmt.Sprintf("%s:%s:%d:%d:%s", a.Verb, d.Meta.Instance, d.Project.ID, d.Job.ID, d.Job.Status)
	case d.Meta.Kind == event.KindPipeline:
		return fmt.Sprintf("%s:%s:%d:%s", a.Verb, d.Meta.Instance, d.Project.ID, news(d.Event))
	}
	return fmt.Sprintf("%s:%s:%d:pipeline:%d:%s", a.Verb, d.Meta.Instance, d.Project.ID, d.Pipeline.ID, news(d.Event))
}

// news names the state of the event's job or pipeline: it changes with every
// change of that, and only then.
func news(e event.Event) string {
	if e.Meta.Kind != event.KindPipeline {
		return fmt.Sprintf("job:%d:%s", e.Job.ID, e.Job.Status)
	}
	return fmt.Sprintf("pipeline:%d:%s:%d:%d", e.Pipeline.ID, e.Pipeline.Status, latestJob(e), e.Pipeline.FinishedAt.Unix())
}

// latestJob gives the id of the newest job of a pipeline event: it changes
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

// notification is the decision of a rule that only tells. The same news from
// two hooks (a group's and a project's) is told once.
func (ev *evaluation) notification(r *Rule) event.Decision {
	e := ev.event
	return event.Decision{
		Event: e, Rule: r.Name, RulesHash: r.Hash, Action: event.Action{Verb: event.VerbNotify}, DryRun: r.DryRun,
		Key: strings.Join([]string{event.VerbNotify, r.Name, e.Meta.Instance, strconv.FormatInt(e.Project.ID, 10), news(e)}, ":"),
	}
}

// add takes a decision, unless an earlier rule wants the same.
func (ev *evaluation) add(d event.Decision) {
	if i, ok := ev.byKey[d.Key]; ok {
		if first := &ev.decisions[i]; first.Rule != d.Rule && !slices.Contains(first.AlsoWantedBy, d.Rule) {
			first.AlsoWantedBy = append(first.AlsoWantedBy, d.Rule)
		}
		return
	}
	if ev.byKey == nil {
		ev.byKey = map[string]int{}
	}
	ev.byKey[d.Key] = len(ev.decisions)
	ev.decisions = append(ev.decisions, d)
}

// inputs gives the inputs as JSON, by name.
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

// maxTargets bounds the jobs of one action.
const maxTargets = 5_000

// evaluation is one event on its way through the rules.
type evaluation struct {
	*expression.Session
	event     event.Event
	decisions []event.Decision
	byKey     map[string]int // index in decisions
}

// explain returns why the condition of a rule, which was evaluated before, came
// out as result says.
func (ev *evaluation) explain(r *Rule, result string) event.Explanation {
	if r.Clauses == nil {
		return event.Explanation{}
	}
	return ev.Explain(r.Clauses(), result)
}
