package backtest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// confidence of the intervals, and the quantile of the normal distribution for it.
const (
	confidence = 0.95
	quantile   = 1.959963984540054
)

// wilson returns the interval of a rate of which passed of n were seen, by Wilson's score
// (E. B. Wilson, 1927), which also holds for few.
func wilson(passed, n int) (low, high float64) {
	p, of := float64(passed)/float64(n), float64(n)
	const z2 = quantile * quantile
	middle := p + z2/(2*of)
	half := quantile * math.Sqrt(p*(1-p)/of+z2/(4*of*of))
	return max(0, (middle-half)/(1+z2/of)), min(1, (middle+half)/(1+z2/of))
}

// sums gathers a report.
type sums struct {
	b         *Backtest
	inForce   *rules.Rules
	out       Report
	byRule    map[string]*ruleSums
	total     *retrySums
	uncaught  []failure
	mergeReqs bool
	left      unplaced
	requested map[int64][]string // rules that request a retry, by the failed run
	classes   map[int64]string   // of failed runs, where it is by the log
}

type ruleSums struct {
	*RuleReport
	retries *retrySums
}

// failure is a failed run that no rule acts on.
type failure struct {
	timeline *timeline
	moment
}

func newSums(b *Backtest, inForce *rules.Rules) *sums {
	s := &sums{
		b: b, inForce: inForce, byRule: map[string]*ruleSums{}, total: newRetrySums(), requested: map[int64][]string{}, classes: map[int64]string{},
		out: Report{Since: b.Since, Until: b.Until, Limits: AssumptionLimits{nativeWithin.Seconds(), confidence}},
	}
	s.out.Rules = make([]RuleReport, inForce.Len())
	for i, r := range inForce.All() {
		s.out.Rules[i] = RuleReport{Name: r.Name, File: r.File, Line: r.Line, On: r.On, NotEvaluated: neverEvaluated(r), Actions: map[string]int{}, Unknown: map[string]int{}, Errors: map[string]int{}}
		s.byRule[r.Name] = &ruleSums{&s.out.Rules[i], newRetrySums()}
	}
	return s
}

// project adds the results of a project.
func (s *sums) project(t *timeline, moments []moment, results []result, left unplaced) {
	p := ProjectReport{ID: t.project.ID, Path: t.project.Path}
	caught := map[int64]bool{} // failed runs
	for i, r := range results {
		m := moments[i]
		s.result(r)
		for _, one := range r.retries {
			caught[one.run.ID] = true
			s.retry(one)
		}
		if m.run == nil {
			p.Ends++
			s.mergeReqs = s.mergeReqs || event.MergeRequestIID(event.Event{Pipeline: m.pipeline.Pipeline.Pipeline}) != 0
			continue
		}
		p.Runs++
		if m.run.Status == "failed" {
			p.Failed++
			caught[m.run.ID] = caught[m.run.ID] || r.stopped || r.acts()
		}
	}
	for _, m := range moments {
		if m.run == nil || m.run.Status != "failed" {
			continue
		}
		if !caught[m.run.ID] {
			s.uncaught = append(s.uncaught, failure{t, m})
		}
		s.try(t, m)
	}
	s.out.Projects = append(s.out.Projects, p)
	s.out.Runs, s.out.Failed, s.out.Ends = s.out.Runs+p.Runs, s.out.Failed+p.Failed, s.out.Ends+p.Ends
	s.left.withoutEnd += left.withoutEnd
	s.left.backwards += left.backwards
	s.left.partial += left.partial
	s.left.unknown += left.unknown
}

// acts reports whether a rule would have acted on the event.
func (r result) acts() bool {
	for a := range r.actions {
		if a.verb != event.VerbNotify {
			return true
		}
	}
	return false
}

// result adds what the rules made of one event.
func (s *sums) result(r result) {
	for _, name := range r.matched {
		s.byRule[name].Fired++
	}
	for a, n := range r.actions {
		s.byRule[a.rule].Actions[a.verb] += n
	}
	for _, f := range r.unknown {
		addReason(s.byRule[f.rule].Unknown, f.why)
	}
	for _, f := range r.errors {
		addReason(s.byRule[f.rule].Errors, f.why)
	}
}

// maxReasons is how many reasons why a rule could not be evaluated are told apart: texts of
// errors may have values in them.
const maxReasons = 20

func addReason(counts map[string]int, why string) {
	if _, known := counts[why]; !known && len(counts) >= maxReasons {
		why = "other reasons"
	}
	counts[why]++
}

// retry adds a retry that rules request.
func (s *sums) retry(one retry) {
	s.classes[one.run.ID] = one.class
	s.total.add(one)
	for _, name := range one.rules {
		s.byRule[name].retries.add(one)
		if !slices.Contains(s.requested[one.run.ID], name) {
			s.requested[one.run.ID] = append(s.requested[one.run.ID], name)
		}
	}
}

// try adds what became of a failed run that was really run again.
func (s *sums) try(t *timeline, m moment) {
	next := m.pipeline.next(m.run)
	if next == nil || next.Status != "success" && next.Status != "failed" {
		return
	}
	seconds, _ := runTime(next)
	before, _ := runTime(m.run)
	began := next.StartedAt
	if began.IsZero() { // no runner took it
		began = next.CreatedAt
	}
	s.out.Tries = append(s.out.Tries, Try{
		Project: t.project.Path, ProjectID: t.project.ID, PipelineID: m.pipeline.ID, Job: m.run.Name, FailedID: m.run.ID, NewID: next.ID,
		Class: cmp.Or(s.classes[m.run.ID], m.run.FailureClass), Reason: m.run.FailureReason, Runner: m.run.Runner.Description, RunnerID: m.run.Runner.ID,
		Native: next.CreatedAt.Sub(m.at) <= nativeWithin, Delay: max(0, began.Sub(m.at).Seconds()),
		FailedSeconds: before, Seconds: seconds, Passed: next.Status == "success", At: next.FinishedAt, Rules: s.requested[m.run.ID],
	})
}

// retrySums gathers Retries. A run counts once: made if one event would have had it retried,
// whatever held back another.
type retrySums struct {
	byRun map[int64]retry
}

func newRetrySums() *retrySums { return &retrySums{map[int64]retry{}} }

func (s *retrySums) add(one retry) {
	if before, twice := s.byRun[one.run.ID]; twice && (before.held == "" || one.held != "") {
		return
	}
	s.byRun[one.run.ID] = one
}

// sum returns the sums, in an order that does not matter to them.
func (s *retrySums) sum() Retries {
	r := Retries{Held: map[string]int{}}
	var waits []float64
	failedAgain, timed := 0.0, 0 // of all new runs that failed, those before the rule's turn too
	for _, id := range slices.Sorted(maps.Keys(s.byRun)) {
		one := s.byRun[id]
		if one.held != "" {
			r.Held[one.held]++
		} else {
			r.Would++
		}
		if !one.hasEvidence() {
			continue
		}
		next := one.of.next(one.run)
		switch {
		case next == nil:
			r.Untried++
			continue
		case next.Status == "success":
			r.Passed++
			if late := next.CreatedAt.Sub(one.due); one.held == "" && late > 0 {
				r.Saved++
				r.SavedSeconds += late.Seconds()
				waits = append(waits, late.Seconds())
			}
		case next.Status == "failed":
			r.Failed++
			seconds, known := runTime(next)
			if !known {
				r.UnknownTime++
				continue
			}
			failedAgain, timed = failedAgain+seconds, timed+1
			if one.held == "" {
				r.WastedSeconds += seconds
			}
		case next.Status == "canceled":
			r.Canceled++
		default:
			r.Open++
		}
	}
	slices.Sort(waits)
	if n := len(waits); n > 0 {
		r.MedianWait = (waits[(n-1)/2] + waits[n/2]) / 2
	}
	if n := r.Passed + r.Failed; n > 0 {
		rate := float64(r.Passed) / float64(n)
		low, high := wilson(r.Passed, n)
		r.Rate, r.Low, r.High = &rate, &low, &high
		if timed > 0 {
			r.UntriedWaste = float64(r.Untried) * (1 - rate) * failedAgain / float64(timed)
		}
	}
	return r
}

// report returns the report.
func (s *sums) report(uncaught Uncaught) Report {
	for _, r := range s.byRule {
		r.Retries = r.retries.sum()
	}
	s.out.Total, s.out.Uncaught = s.total.sum(), uncaught
	slices.SortFunc(s.out.Tries, func(a, b Try) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.NewID, b.NewID)) })
	for _, kind := range []string{event.KindJob, event.KindPipeline} {
		for _, field := range unknownFields(kind, s.mergeReqs) {
			if readers := s.inForce.Readers(kind, field); len(readers) > 0 {
				s.out.Unknown = append(s.out.Unknown, UnknownField{field, readers})
			}
		}
	}
	s.out.Problems = s.left.problems()
	return s.out
}

// problems returns what a reader should know about the jobs.
func (u unplaced) problems() (all []string) {
	add := func(n int, what string) {
		if n > 0 {
			all = append(all, fmt.Sprintf("%s %s", english.Plural(n, "run", ""), what))
		}
	}
	add(u.withoutEnd, "left out: GitLab does not say when they ended")
	add(u.backwards, "ended before they began, by GitLab's own times: clocks differ, and the order of events may be another")
	add(u.partial, fmt.Sprintf("in pipelines that began more than %s before the time: they may be later attempts than they seem, and the ends of these pipelines are left out", Reach.Round(time.Hour)))
	add(u.unknown, "without a duration: their runner time is not summed")
	return all
}

// tried returns what became of a failed run that was really retried; ok is false if that is
// not known.
func tried(p *past, run *history.Run) (passed, ok bool) {
	next := p.next(run)
	if next == nil || next.Status != "success" && next.Status != "failed" {
		return false, false
	}
	return next.Status == "success", true
}
