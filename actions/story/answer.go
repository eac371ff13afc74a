package story

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// teller makes the story of the material. The first error of the templates ends it.
type teller struct {
	*material
	story Story
	ev    *evaluated.Evaluation // of the last event of the job or the pipeline; nil: none is known
	// changed says that the rules have changed since: then those behind a `stop` are not
	// known.
	changed bool
	in      words.Style // of the answer and the notes
	err     error
}

// answerView is the data of the blocks answer_…, and of some of the others.
type answerView struct {
	Not         string // the verb of what was expected and did not happen; "": anything
	gitlab.Page        // the subject of the story
	InStatus    string // of the subject, while that is known
	Kind        string
	Rule        string
	By          string // the person who requested what the decision does; "": the Rule did
	Of          int    // how many rules did not match
	Failed      bool
	Verdict     string // of the rule
	StoppedBy   string
	Changed     bool // the rules, since then
	Reason      string
	Act         string
	Due, At     string
	Waits       bool   // the decision, which is not due yet
	Gone        string // why no rule wants the decision any more
	Paused      string // by which pauses
	N, Code     int    // of refused deliveries, or of decisions; and the last delivery's HTTP status
	Verb        string // of what was done
	NewJob      int64  // the run that was made, in Status
	Status      string
	Counts      []count // of decisions by their results
	URL         string
	GitLab      string // its URL
	Admin       string // the URL of the server that commands call
	MaxAge      string // how far catch-up reaches back
	Dead        string // the id of the buried record
}

// count is how many decisions have a result.
type count struct {
	Word  string
	Times int
}

// tell makes the story of the material.
func (b *Builder) tell(ctx context.Context, m *material, in words.Style) (Story, error) {
	t := &teller{material: m, in: in, story: Story{Project: m.page.Project, Job: m.job, Pipeline: m.pipeline, Problems: m.problems}}
	t.story.URL = cmp.Or(m.job.URL, m.pipeline.URL)
	t.story.Timeline, t.err = timelineOf(m, b.Rules())
	if t.ev = m.last(); t.ev != nil && t.ev.Dropped == "" {
		var err error
		t.story.Rules, t.changed, err = b.verdicts(ctx, t.ev, in)
		t.err = errors.Join(t.err, err)
		t.story.Of = words.Event(&t.ev.Record.Event)
		if t.changed {
			t.note("changed", t.named())
		}
		if t.ev.Cut {
			t.note("cut", t.named())
		}
	}
	t.answer()
	t.notes(b)
	return t.story, t.err
}

// last returns the evaluation that matters most: of the job's own events, else of its
// pipeline's, the last one in the status that it has now, else the last one.
func (m *material) last() *evaluated.Evaluation {
	kind, status := event.KindJob, m.job.Status
	if m.job.ID == 0 {
		kind, status = event.KindPipeline, m.pipeline.Status
	}
	for _, matches := range []func(e *event.Event) bool{
		func(e *event.Event) bool {
			return e.Meta.Kind == kind && (kind == event.KindJob && e.Job.Status == status || kind == event.KindPipeline && e.Pipeline.Status == status)
		},
		func(e *event.Event) bool { return e.Meta.Kind == kind },
		func(*event.Event) bool { return true },
	} {
		for i := range m.evaluations {
			if matches(&m.evaluations[i].Record.Event) {
				return &m.evaluations[i]
			}
		}
	}
	return nil
}

// say sets the answer.
func (t *teller) say(a Answer, v answerView) {
	if t.err == nil {
		t.story.Verdict = a
		t.story.Answer, t.err = t.in.Say("answer_"+string(a), v)
	}
}

// note adds a note.
func (t *teller) note(block string, data any) {
	t.addTo(&t.story.Notes, t.in, "note_"+block, data)
}

// next adds what to check, in English.
func (t *teller) next(block string) {
	t.addTo(&t.story.Next, words.Plain, "next_"+block, t.named())
}

// named has what commands name.
func (t *teller) named() answerView {
	v := answerView{URL: cmp.Or(t.story.URL, t.instance+"/"+t.page.Path()), GitLab: t.instance, Admin: t.admin, MaxAge: model.Duration(t.maxAge).String()}
	if d := t.buried(); d != nil {
		v.Dead = d.ID
	}
	return v
}

// addTo adds the lines of a block, each of which is one thing. A command has a line of
// its own below what it is for, so that it can be copied.
func (t *teller) addTo(list *[]string, in words.Style, block string, data any) {
	if t.err != nil {
		return
	}
	var text string
	if text, t.err = in.Say(block, data); text != "" {
		for line := range strings.SplitSeq(text, "\n") {
			if command, is := strings.CutPrefix(line, "$ "); is && len(*list) > 0 {
				(*list)[len(*list)-1] += "\n" + command
				continue
			}
			*list = append(*list, line)
		}
	}
}

// answer finds the answer: from what was decided, else from what the rules made of the
// event, else from how far the event came.
func (t *teller) answer() {
	acting := t.acting()
	switch {
	case t.job.ID == 0 && len(acting) > 1:
		t.ofSeveral(acting)
	case len(acting) > 0:
		t.ofDecision(acting[0])
	case t.buried() != nil:
		d := t.buried()
		t.say(Dead, answerView{Not: t.not(""), Kind: d.Kind, Reason: d.Reason})
		t.next("dead")
	case t.ev != nil && t.current(t.ev.Record.Meta.Kind, t.ev.Record.Job.Status):
		t.ofEvaluation()
	default:
		t.ofDeliveries()
	}
}

// current reports whether an event is about the status that the job has now; an event
// of its pipeline, or while GitLab does not say the status, always.
func (t *teller) current(kind, status string) bool {
	return t.job.ID == 0 || kind != event.KindJob || status == t.job.Status
}

// ofDeliveries answers from how far the event came.
func (t *teller) ofDeliveries() {
	v := answerView{Not: t.not(""), Page: t.page}
	if t.job.Status != "" {
		v.InStatus = t.in.Status(t.job.Status)
	}
	kind := event.KindJob
	if t.job.ID == 0 {
		kind = event.KindPipeline
	}
	i := slices.IndexFunc(t.deliveries, func(d event.Delivery) bool { return d.Kind == kind && t.current(kind, d.Status) })
	switch {
	case i >= 0:
		t.ofDelivery(&t.deliveries[i], v)
	case len(t.refused) > 0:
		last := t.refused[0]
		v.N, v.At, v.Code, v.Reason = len(t.refused), clock(last.At), last.Code, last.Reason
		t.say(Refused, v)
		t.next("refused")
	default:
		t.say(NoEvent, v)
		t.next("no_event")
	}
}

// ofDelivery answers from the last delivery of the event.
func (t *teller) ofDelivery(d *event.Delivery, v answerView) {
	v.At, v.Code, v.Reason = clock(d.At), d.Code, d.Reason
	switch d.Result {
	case event.DeliveryStored, event.DeliveryDuplicate:
		if t.queued {
			t.say(Queued, v)
			return
		}
		t.say(Forgotten, v)
		t.next("ignored")
	case event.DeliveryIgnored:
		t.say(Ignored, v)
		t.next("ignored")
	default:
		t.say(Refused, v)
		t.next("refused")
	}
}

// acting returns the decisions that were to change something, newest first: of a job,
// those about it, but not the one that made it.
func (t *teller) acting() (all []*decision) {
	for i := range t.decisions {
		d := &t.decisions[i]
		if d.follows() != "" || d.Action.Verb == event.VerbNotify || t.job.ID != 0 && d.Job.ID != t.job.ID && !event.OfPipeline(d.Action.Verb) {
			continue
		}
		all = append(all, d)
	}
	if t.job.ID != 0 { // who asks about a job asks whether it was retried
		slices.SortStableFunc(all, func(a, b *decision) int { return min(len(b.Retries()), 1) - min(len(a.Retries()), 1) })
	}
	return all
}

// buried returns a buried event or decision; nil: there is none.
func (t *teller) buried() *deadRecord {
	for i := range t.dead {
		if t.dead[i].Kind != event.RecordOutcome {
			return &t.dead[i]
		}
	}
	return nil
}

// not returns the verb of what did not happen. Without a verb, that is a retry of what
// failed, else anything: "".
func (t *teller) not(verb string) string {
	status := t.pipeline.Status
	if t.job.ID != 0 {
		status = t.job.Status
	}
	if verb == "" && status == "failed" {
		return event.VerbRetry
	}
	return verb
}

// ofDecision answers from a decision.
func (t *teller) ofDecision(d *decision) {
	v := answerView{Not: t.not(d.Action.Verb), Rule: d.Rule, By: requester(d), Act: act(d, t.job.ID == 0, t.in), Reason: d.Reason, Due: d.due()}
	if dead := t.buried(); dead != nil && d.Result == "" {
		t.say(Dead, answerView{Not: v.Not, Kind: dead.Kind, Reason: dead.Reason})
		t.next("dead")
		return
	}
	v.Waits, v.Gone, v.Paused = d.waits(), d.now.gone, t.paused(d)
	if d.now.dryRun {
		t.say(DryRun, v)
		t.next("dry_run")
		return
	}
	switch d.Result {
	case "":
		if len(d.Deferrals) == 0 {
			t.say(Waiting, v)
			return
		}
		t.ofDeferral(d, v)
	case event.ResultDeferred:
		t.ofDeferral(d, v)
	case event.ResultSkipped:
		t.say(Skipped, v)
	case event.ResultDryRun:
		t.say(DryRun, v)
		t.next("dry_run")
	case event.ResultFailed:
		t.say(Failed, v)
	case event.ResultGaveUp:
		t.say(GaveUp, v)
	default:
		t.ofDone(d, v)
	}
}

// ofDeferral answers from a decision that was deferred: for the reason that it was last.
func (t *teller) ofDeferral(d *decision, v answerView) {
	v.Due = ""
	if n := len(d.Deferrals); n > 0 {
		v.Reason = d.Deferrals[n-1].Reason
	}
	if !d.next.IsZero() {
		v.Due = clock(d.next)
	}
	t.say(Deferred, v)
}

// ofDone answers from a decision that was carried out: what became of the run that it
// made, as far as that is known.
func (t *teller) ofDone(d *decision, v answerView) {
	v.Verb = d.Action.Verb
	var run gitlab.Job
	if d.NewJobID != d.Job.ID {
		v.NewJob = d.NewJobID
		if i := slices.IndexFunc(t.seen.runs, func(run gitlab.Job) bool { return run.ID == d.NewJobID }); i >= 0 {
			run = t.seen.runs[i]
		}
	}
	if run.Status != "" {
		v.Status = t.in.Status(run.Status)
	}
	switch result := t.result(d); {
	case result != nil && result.Result == event.ResultRecovered:
		v.Reason = result.Reason
		t.say(Recovered, v)
	case result != nil:
		v.Reason = result.Reason
		t.say(FailedAgain, v)
	case d.Action.Verb == event.VerbRetry && run.Status == "success":
		t.say(Recovered, v)
	case d.Action.Verb == event.VerbRetry && run.Status == "failed":
		v.Reason = run.FailureReason
		t.say(FailedAgain, v)
	default:
		t.say(Done, v)
	}
}

// ofSeveral answers from the decisions about a pipeline and its jobs, by their number.
func (t *teller) ofSeveral(all []*decision) {
	counts := map[string]int{}
	for _, d := range all {
		counts[cmp.Or(d.Result, "waiting")]++
		t.note("standing", answerView{Rule: d.Rule, By: requester(d), Act: act(d, true, t.in), Waits: d.now.dryRun, Gone: d.now.gone, Paused: t.paused(d)})
	}
	v := answerView{N: len(all)}
	for _, result := range append([]string{"waiting"}, event.Results...) {
		if n := counts[result]; n > 0 {
			v.Counts = append(v.Counts, count{result, n})
		}
	}
	if t.err == nil {
		t.story.Verdict = Answer(cmp.Or(all[0].Result, string(Waiting)))
		t.story.Answer, t.err = t.in.Say("answer_decisions", v)
	}
}

// ofEvaluation answers from what the rules made of the event.
func (t *teller) ofEvaluation() {
	e := &t.ev.Record.Event
	v := answerView{Not: t.not(""), Kind: e.Meta.Kind, StoppedBy: t.ev.StoppedBy, Changed: t.changed, Reason: t.ev.Waits, Failed: t.not("") == event.VerbRetry}
	find := func(result string) *Rule {
		i := slices.IndexFunc(t.story.Rules, func(r Rule) bool { return r.Result == result && r.acts })
		if i < 0 {
			return nil
		}
		return &t.story.Rules[i]
	}
	failed, behind := find(rules.VerdictFailed), find(rules.VerdictNotReached)
	switch {
	case t.ev.Dropped != "":
		v.Reason = t.ev.Dropped
		t.say(Dropped, v)
	case t.ev.Waits != "":
		t.say(RuleWaits, v)
	case failed != nil:
		v.Rule, v.Verdict = failed.Rule, failed.Text
		t.say(RuleFailed, v)
		t.next("rule_failed")
	case v.StoppedBy != "" && (behind != nil || t.changed):
		if behind != nil {
			v.Rule = behind.Rule
		}
		t.say(Stopped, v)
	default:
		if other := cmp.Or(find(rules.VerdictMatched), find(rules.StepNewer)); other != nil {
			v.Rule, v.Verdict, v.Of = other.Rule, other.Text, 1
		} else if r, of := nearest(t.story.Rules); r != nil {
			v.Rule, v.Verdict, v.Of = r.Rule, r.Text, of
		}
		t.say(NoRule, v)
		t.next("no_rule")
	}
}
