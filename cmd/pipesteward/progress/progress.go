// Package progress shows on standard error how far long commands are, such as runs of
// schedule rules: bars on a terminal, and else a line every few seconds.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	pretty "github.com/jedib0t/go-pretty/v6/progress"

	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Display shows runs, one after the other.
type Display struct {
	view   view
	stderr io.Writer
}

var _ sweep.Display = Display{}

// New returns a Display on stderr: of bars if that is a terminal, of so many columns, or
// else, with 0, of lines.
func New(stderr io.Writer, columns int) Display {
	if columns > 0 {
		return Display{newBar(stderr, columns), stderr}
	}
	return Display{&lines{out: stderr}, stderr}
}

// Continued implements sweep.Display.
func (d Display) Continued(run event.Sweep) {
	fmt.Fprintf(d.stderr, "%s: goes on with the sweep that began %s and was stopped after %s jobs; --restart begins anew\n",
		run.Rule, humanize.Time(run.Began), humanize.Comma(int64(run.Jobs)))
}

// Begin implements sweep.Display.
func (d Display) Begin(run event.Sweep) func(sweep.Step) { return d.view.begin(run) }

// Waits implements sweep.Display.
func (d Display) Waits(run event.Sweep, wait time.Duration, err error) {
	d.Say(fmt.Sprintf("%s: goes on in %s: %v", run.Rule, wait.Round(time.Second), err))
}

// Say shows a line of text.
func (d Display) Say(line string) { d.view.say(line) }

// End ends the display; stopped: the last run did not succeed.
func (d Display) End(stopped bool) { d.view.end(stopped) }

// view shows the progress of runs.
type view interface {
	// begin begins with a run; the returned function is called after each step.
	begin(run event.Sweep) func(sweep.Step)
	say(line string)
	end(stopped bool)
}

// runProgress is the progress of a sweep.
type runProgress struct {
	mu    sync.Mutex
	rule  string
	verbs string // of the rule
	began time.Time
	first int // jobs that were processed before
	at    sweep.Step
	// from and done are how many projects were done at first, and are done now, with the
	// part of the current one.
	from, done float64
	erases     bool // the rule erases; else it only queues decisions
	event.SweepCounts
}

func newRunProgress(run event.Sweep) *runProgress {
	return &runProgress{rule: run.Rule, verbs: strings.Join(run.Verbs, ", "), erases: run.Erases(), began: time.Now(), first: run.Jobs, SweepCounts: run.SweepCounts}
}

func (s *runProgress) add(step sweep.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Add(step.SweepCounts)
	done := float64(step.Position-1) + step.Through
	if s.at.Projects == 0 {
		s.from = done
	}
	s.at, s.done = step, max(s.done, done) // jobs that are processed at the same time end in any order
}

// part returns how many projects this process has done, and how many it has to do.
func (s *runProgress) part() (done, of float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done - s.from, float64(s.at.Projects) - s.from
}

// line returns the progress for people: what is done, how fast, and how long the rest may
// take, estimated from the projects and the dates of their jobs.
func (s *runProgress) line(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := now.Sub(s.began)
	if s.at.Projects == 0 {
		return s.rule + ": looks its projects up"
	}
	line := fmt.Sprintf("%s: project %d of %d (%s), %s jobs, %.0f/s, %s", s.rule, s.at.Position, s.at.Projects, s.at.Project,
		humanize.Comma(int64(s.Jobs)), s.rate(now), s.acted())
	if done := s.done - s.from; done > 0.001 {
		left := time.Duration(float64(took) / done * (float64(s.at.Projects) - s.done))
		line += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	return line
}

// short returns the line beside a bar, which shows the rest.
func (s *runProgress) short(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	acted := humanize.Bytes(uint64(s.Freed)) + " freed"
	if !s.erases {
		acted = s.acted()
	}
	return fmt.Sprintf("%s: %s looked at, %.0f/s, %s", s.rule, humanize.Comma(int64(s.Jobs)), s.rate(now), acted)
}

// acted returns what the sweep has done so far.
func (s *runProgress) acted() string {
	if !s.erases {
		return fmt.Sprintf("%s queued for %s", humanize.Comma(int64(s.Queued)), s.verbs)
	}
	return fmt.Sprintf("%s erased, %s freed", humanize.Comma(int64(s.Erased)), humanize.Bytes(uint64(s.Freed)))
}

// rate returns how many jobs were processed per second.
func (s *runProgress) rate(now time.Time) float64 {
	return float64(s.Jobs-s.first) / max(now.Sub(s.began).Seconds(), 0.001)
}

// linesEach is the time between two lines of progress without a terminal.
const linesEach = 5 * time.Second

// lines writes a line of progress every linesEach.
type lines struct {
	mu   sync.Mutex
	out  io.Writer
	stop func()
}

func (v *lines) begin(run event.Sweep) func(sweep.Step) {
	v.end(false)
	s := newRunProgress(run)
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(linesEach)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				v.say(s.line(now))
			}
		}
	})
	v.stop = func() {
		close(done)
		writing.Wait()
		v.stop = nil
		v.say(s.line(time.Now()))
	}
	return s.add
}

func (v *lines) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(v.out, line)
}

func (v *lines) end(bool) {
	if v.stop != nil {
		v.stop()
	}
}

// A bar counts thousandths of projects.
const thousandth = 1000

var inProjects = pretty.Units{Formatter: func(n int64) string {
	return fmt.Sprintf("%.1f projects", float64(n)/thousandth)
}}

// bar shows bars on a terminal, one for each rule.
type bar struct {
	bars *bars
	last *pretty.Tracker
}

func newBar(out io.Writer, columns int) *bar {
	v := &bar{bars: newBars(out, columns)}
	v.bars.start()
	return v
}

// bars are drawn between start and stop.
type bars struct {
	pretty.Writer
	ended chan struct{}
}

// newBars returns a writer of bars as all commands draw them. They are no wider than the
// terminal: of a line that wraps, a part would stay when the bar is drawn again.
func newBars(out io.Writer, columns int) *bars {
	bars := &bars{pretty.NewWriter(), make(chan struct{})}
	bars.SetOutputWriter(out)
	bars.SetTerminalWidth(columns)
	bars.SetUpdateFrequency(200 * time.Millisecond)
	bars.SetTrackerLength(20)
	bars.SetTrackerPosition(pretty.PositionRight)
	bars.Style().Visibility.ETA = true
	bars.Style().Visibility.Value = true
	return bars
}

func (b *bars) start() {
	go func() {
		defer close(b.ended)
		b.Render()
	}()
}

// stop draws the bars a last time. Render does not see a Stop that comes before it has begun,
// so that is repeated.
func (b *bars) stop() {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		b.Stop()
		select {
		case <-b.ended:
			return
		case <-again.C:
		}
	}
}

func (v *bar) begin(run event.Sweep) func(sweep.Step) {
	v.done(false)
	s := newRunProgress(run)
	tracker := &pretty.Tracker{Message: run.Rule, Total: thousandth, Units: inProjects, AutoStopDisabled: true}
	v.last = tracker
	v.bars.AppendTracker(tracker)
	var shown time.Time
	var mu sync.Mutex
	return func(step sweep.Step) {
		s.add(step)
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(shown) > 100*time.Millisecond {
			shown = now
			done, of := s.part()
			tracker.UpdateTotal(int64(of * thousandth))
			tracker.SetValue(int64(done * thousandth))
			tracker.UpdateMessage(s.short(now))
		}
	}
}

func (v *bar) say(line string) { v.bars.Log("%s", line) }

func (v *bar) done(stopped bool) {
	switch {
	case v.last == nil:
	case stopped:
		v.last.MarkAsErrored()
	default:
		v.last.MarkAsDone()
	}
}

func (v *bar) end(stopped bool) {
	v.done(stopped)
	v.bars.stop()
}
