package story

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// timeline collects items. The first error of the templates ends it.
type timeline struct {
	ofPipeline bool         // of a pipeline: items say which job they are about
	rules      *rules.Rules // those in force
	items      []Item
	err        error
}

// add adds an item with the text of its kind's block.
func (t *timeline) add(item Item, data any) {
	if t.err == nil && item.Text == "" {
		item.Text, t.err = words.Say("item_"+item.Kind, data)
	}
	t.items = append(t.items, item)
}

// timelineOf returns all that happened, oldest first.
func timelineOf(m *material, inForce *rules.Rules) ([]Item, error) {
	t := &timeline{ofPipeline: m.job.ID == 0, rules: inForce}
	t.runs(m)
	for i := range m.deliveries {
		t.delivery(&m.deliveries[i])
	}
	for i := range m.evaluations {
		t.evaluation(&m.evaluations[i])
	}
	for i := range m.decisions {
		t.decision(&m.decisions[i])
	}
	for _, d := range m.dead {
		t.add(Item{At: d.At.UTC(), Kind: KindDead, Failed: true, Reason: d.Reason, Rule: d.of.Rule, Job: d.of.Job.ID}, d.DeadRecord)
	}
	slices.SortStableFunc(t.items, func(a, b Item) int { return a.At.Compare(b.At) })
	return t.items, t.err
}

// runs adds the runs of the job, as GitLab has them; of a pipeline, those that failed
// and those that are runs of a job that failed before.
func (t *timeline) runs(m *material) {
	failed := map[string]bool{}
	for _, run := range m.seen.runs {
		if t.ofPipeline && run.Status != "failed" && !failed[run.Name] {
			continue
		}
		failed[run.Name] = failed[run.Name] || run.Status == "failed"
		at := run.FinishedAt
		if at.IsZero() {
			at = cmp.Or(run.StartedAt, run.CreatedAt)
		}
		view := struct{ What, Status, Reason string }{fmt.Sprintf("job %d %s is", run.ID, run.Name), run.Status, run.FailureReason}
		if event.Ended(run.Status) {
			view.What = fmt.Sprintf("job %d %s ended:", run.ID, run.Name)
		}
		t.add(Item{At: at.UTC(), Kind: KindRun, Job: run.ID, Failed: run.Status == "failed"}, view)
	}
}

// delivery adds a webhook delivery.
func (t *timeline) delivery(d *event.Delivery) {
	view := struct {
		Event, Reason, From string
		Code                int
		Result              string
	}{"", d.Reason, d.From, d.Code, d.Result}
	if d.Kind == event.KindPipeline {
		view.Event = fmt.Sprintf("pipeline %d, %s", d.Pipeline, d.Status)
	} else {
		view.Event = fmt.Sprintf("job %d %s, %s", d.Job, d.JobName, d.Status)
	}
	item := Item{At: d.At.UTC(), Kind: KindDelivery, Job: d.Job, Result: d.Result, Reason: d.Reason}
	switch d.Result {
	case event.DeliveryStored, event.DeliveryDuplicate, event.DeliveryIgnored:
		item.Minor = t.minor(d.Kind, d.Status)
	default:
		item.Failed = true
	}
	t.add(item, view)
}

// evaluation adds what the rules made of an event, in numbers.
func (t *timeline) evaluation(ev *evaluated.Evaluation) {
	e := &ev.Record.Event
	if ev.Dropped != "" {
		t.add(Item{At: ev.At, Kind: KindDropped, Job: e.Job.ID, Failed: true, Reason: ev.Dropped}, struct{ Event, Reason string }{words.Event(e), ev.Dropped})
		return
	}
	view := struct {
		Event                 string
		Matched, Failed, Rest int
		Cannot                int  // rules for such events that can't match this one
		Some                  bool // rules could match
		Source                string
		StoppedBy, Waits      string
	}{Event: words.Event(e), Source: e.Meta.Source, Some: len(ev.Steps) > 0, StoppedBy: ev.StoppedBy, Waits: ev.Waits}
	view.Rest = ev.More
	for _, s := range ev.Steps {
		switch s.Result {
		case rules.VerdictMatched:
			view.Matched++
		case rules.VerdictFailed:
			view.Failed++
		default:
			view.Rest++
		}
	}
	if ev.StoppedBy == "" && ev.Rules == t.rules.Fingerprint() { // else they are not known
		for _, r := range t.rules.All() {
			if r.On == e.Meta.Kind {
				view.Cannot++
			}
		}
		view.Cannot -= len(ev.Steps) + ev.More
	}
	item := Item{At: ev.At, Kind: KindEvaluation, Job: e.Job.ID, Failed: view.Failed > 0 || ev.Waits != ""}
	status := e.Job.Status
	if e.Meta.Kind == event.KindPipeline {
		status = e.Pipeline.Status
	}
	item.Minor = view.Matched == 0 && !item.Failed && t.minor(e.Meta.Kind, status)
	t.add(item, view)
}

// minor reports whether an event that led to nothing is a minor one: nothing has ended,
// or it is of a job's pipeline.
func (t *timeline) minor(kind, status string) bool {
	return !event.Ended(status) || kind == event.KindPipeline && !t.ofPipeline
}

// decision adds a decision with all that came of it.
func (t *timeline) decision(d *decision) {
	item := Item{Rule: d.Rule, Decision: d.ID, Job: d.Job.ID}
	at := func(when time.Time, kind string) Item {
		item := item
		item.At, item.Kind = when.UTC(), kind
		return item
	}
	if d.follows() == "" && d.Action.Verb != event.VerbNotify {
		t.add(at(d.DecidedAt, KindDecision), struct {
			Rule, By, Act, Due, AlsoWantedBy string
			DryRun                           bool
		}{d.Rule, requester(d), t.act(d), d.due(), quoted(d.AlsoWantedBy), d.DryRun})
		for i, deferral := range d.Deferrals {
			if i == len(d.Deferrals)-1 && d.next.After(deferral.Until) { // errors of GitLab came after it
				deferral.Until = d.next
			}
			item := at(deferral.Since, KindDeferral)
			item.Deferral, item.Reason = &deferral, deferral.Reason
			t.add(item, struct {
				Reason, Until string
				Times         int
			}{deferral.Reason, clock(deferral.Until), deferral.Times})
		}
		for _, call := range d.Calls {
			item := at(call.At, KindCall)
			item.Call, item.Failed = &call, call.Error != ""
			t.add(item, struct{ Method, Endpoint, Answer string }{call.Method, call.Endpoint, answerTo(call)})
		}
	}
	if d.Result != "" && d.Result != event.ResultDeferred {
		item := at(d.At, KindOutcome)
		item.Result, item.Reason, item.Failed = d.Result, d.Reason, d.Result == event.ResultFailed || d.Result == event.ResultGaveUp
		if item.Text, t.err = words.Outcome(d.Outcome, words.Plain); t.err != nil {
			return
		}
		if !strings.Contains(d.Reason, d.PassRate) {
			item.Text += "; " + d.PassRate
		}
		t.add(item, nil)
		for _, s := range d.States {
			if s.Since.IsZero() { // not known yet, or without an entry in the rule
				continue
			}
			item := at(d.At, KindState)
			item.State = &s
			t.add(item, struct {
				event.State
				Rule, Since string
			}{s, d.Rule, clock(s.Since)})
		}
	}
	for _, n := range d.Notifications {
		if n.Result == event.NotificationWaiting { // a note says why
			continue
		}
		item := at(n.At, KindNotification)
		item.Notification, item.Failed = &n, n.Error != ""
		t.add(item, n)
	}
}

// answerTo says what GitLab answered to a call, in its own words.
func answerTo(c event.Call) string {
	if c.Status == 0 {
		return strings.TrimSuffix("no answer: "+c.Error, ": ")
	}
	return cmp.Or(c.Error, strconv.Itoa(c.Status))
}

// act says what a decision wants done; the job of the story needs no name.
func (t *timeline) act(d *decision) string {
	return act(d, t.ofPipeline, words.Plain)
}

func act(d *decision, named bool, in words.Style) string {
	if named || event.OfPipeline(d.Action.Verb) {
		return in.Action(&d.Decision)
	}
	return fmt.Sprintf(words.TermsIn(in.Language).ActIt, in.Verb(d.Action.Verb))
}

// due says when a decision that waits is, or was first, due; "" if at once.
func (d *decision) due() string {
	switch {
	case !d.Due.IsZero() && d.Due.Sub(d.DecidedAt) >= time.Second:
		return clock(d.Due)
	case d.Due.IsZero() && d.Pause() >= time.Second: // it has an outcome
		return clock(d.DecidedAt.Add(d.Pause()))
	}
	return ""
}

// clock says when something is.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

func quoted(names []string) string {
	var all []string
	for _, name := range names {
		all = append(all, fmt.Sprintf("rule %q", name))
	}
	return english.OxfordWordSeries(all, "and")
}
