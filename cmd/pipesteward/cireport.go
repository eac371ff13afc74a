package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/ownpipeline"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// ciReport is what `ci` prints into the log of its job.
type ciReport struct {
	printer
	place  ownpipeline.Place
	events ownpipeline.Events
	result ownpipeline.Result
	rules  int
	access bool // there is an access token
}

// ciPrinter colours words, which GitLab's job logs show, unless NO_COLOR is set.
func ciPrinter() printer { return printer{os.Getenv("NO_COLOR") == ""} }

// print prints the report: a section that can be folded, with the sum as its header, and
// below it what a person can do. The section is folded where nothing needs a look.
// The markers are those of https://docs.gitlab.com/ci/jobs/job_logs/.
func (r ciReport) print(w io.Writer, began, now time.Time) error {
	const clearLine = "\x1b[0K"
	folded := ""
	if r.result.Status() == ownpipeline.StatusDone {
		folded = "[collapsed=true]"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%ssection_start:%d:pipesteward%s\r%s%s\n", clearLine, began.Unix(), folded, clearLine, r.bold("Pipesteward: "+r.sum()))
	r.where(&b)
	for _, e := range r.result.Entries {
		if err := r.entry(&b, e, now); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b, "%ssection_end:%d:pipesteward\r%s\n", clearLine, now.Unix(), clearLine)
	for _, line := range r.advice() {
		fmt.Fprintf(&b, "%s\n", r.yellow(line))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// where says what the rules were applied to.
func (r ciReport) where(b *strings.Builder) {
	job := r.place.Job
	fmt.Fprintln(b, printable(fmt.Sprintf("pipeline %d of %s on %s is %s: %s", job.Pipeline.ID, r.place.Project.Path, job.Pipeline.Ref, r.events.Status, job.Pipeline.URL)))
	fmt.Fprintf(b, "this is job %d %q, which is left alone\n", job.ID, job.Name)
	fmt.Fprintf(b, "%s for the pipeline as it is and its %s\n", english.Plural(r.rules, "rule", ""), english.Plural(r.events.Ended, "job that has ended", "jobs that have ended"))
	switch {
	case r.place.AgentsErr != nil:
		fmt.Fprintf(b, "Kubernetes agents that this job may use: not known (%s)\n", printable(r.place.AgentsErr.Error()))
	case len(r.place.Agents) == 0:
		fmt.Fprintln(b, "Kubernetes agents that this job may use: none")
	default:
		var agents []string
		for _, a := range r.place.Agents {
			agents = append(agents, fmt.Sprintf("%d (of project %s)", a.ID, printable(projectName(a.ConfigProject))))
		}
		fmt.Fprintf(b, "Kubernetes agents that this job may use: %s\n", strings.Join(agents, ", "))
	}
}

// projectName returns a project's path, or its id: newer GitLab sends no more.
func projectName(p event.Project) string {
	if p.Path != "" {
		return p.Path
	}
	return strconv.FormatInt(p.ID, 10)
}

// entry prints a decision and what came of it.
func (r ciReport) entry(b *strings.Builder, e ownpipeline.Entry, now time.Time) error {
	mark := r.dim("·")
	switch {
	case e.Result == event.ResultFailed || e.Result == event.ResultGaveUp:
		mark = r.red("✗")
	case e.Left():
		mark = r.yellow("→")
	case e.Result == event.ResultDone:
		mark = r.green("✓")
	}
	if e.Waits() {
		e.Result, e.Reason = "Left", strings.Join(slices.DeleteFunc([]string{e.Reason, dueIn(e, now)}, func(why string) bool { return why == "" }), "; ")
	}
	text, err := words.Outcome(e.Outcome, words.Plain)
	fmt.Fprintf(b, "%s %s  %s\n", mark, printable(text), r.dim(printable("(rule "+e.Rule+")")))
	return err
}

// dueIn says when a decision is due that waits; "" if it is due now.
func dueIn(e ownpipeline.Entry, now time.Time) string {
	if wait := e.Due.Sub(now).Round(time.Second); wait > 0 {
		return "due in " + event.Coarse(wait).String()
	}
	return ""
}

// ciWords are the results as the sum names them, in its order.
var ciWords = []struct{ result, word string }{
	{event.ResultDone, "done"},
	{event.ResultDryRun, "not done (dry run)"},
	{event.ResultSkipped, "skipped"},
	{event.ResultDeferred, "left"},
	{event.ResultGaveUp, "gave up"},
	{event.ResultFailed, "failed"},
}

// sum returns the numbers of outcomes.
func (r ciReport) sum() string {
	counts := map[string]int{}
	for _, e := range r.result.Entries {
		if e.Waits() {
			e.Result = event.ResultDeferred
		}
		counts[e.Result]++
	}
	var parts []string
	for _, each := range ciWords {
		if n := counts[each.result]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, each.word))
		}
	}
	if r.result.Errors > 0 {
		parts = append(parts, english.Plural(r.result.Errors, "error", ""))
	}
	if len(parts) == 0 {
		return "no rule calls for anything"
	}
	return strings.Join(parts, ", ")
}

// advice says what needs a person.
func (r ciReport) advice() []string {
	var lines []string
	late := 0
	for _, e := range r.result.Entries {
		if e.Waits() {
			late++
		}
	}
	if late > 0 {
		lines = append(lines, english.Plural(late, "action is", "actions are")+" left, due later than --wait allows: raise it, or run this job again then.")
	}
	if slices.ContainsFunc(r.result.Entries, func(e ownpipeline.Entry) bool { return e.Result == event.ResultDryRun }) && r.access {
		lines = append(lines, "This was a dry run, by --dry-run or by dry_run in the rule files: nothing of it was changed in GitLab.")
	}
	if !r.access {
		lines = append(lines, "Nothing was changed: GitLab lets no job token retry, play, cancel or erase. Give an access token with the scope api as the masked variable PIPESTEWARD_GITLAB_TOKEN; a protected variable reaches the jobs of protected refs only.")
	}
	if n := r.result.Unevaluated; n > 0 {
		lines = append(lines, fmt.Sprintf("The rules could not be evaluated on %s: GitLab did not answer in time. Run this job again.", english.Plural(n, "event", "")))
	}
	if n := r.result.Unnotified; n > 0 {
		lines = append(lines, english.Plural(n, "notification", "")+" could not be sent in time.")
	}
	if r.result.Trouble != "" {
		lines = append(lines, "GitLab can't be used: "+printable(r.result.Trouble))
	}
	if r.result.Errors > 0 {
		lines = append(lines, "The errors logged above say what failed.")
	}
	return lines
}

// printWaiting says what is waited for.
func printWaiting(w io.Writer, left []ownpipeline.Entry, atMost time.Duration) {
	now := time.Now()
	for _, e := range left {
		if due := dueIn(e, now); due != "" && e.Due.Sub(now) <= atMost {
			e.Result, e.Reason = event.ResultDeferred, due
			if text, err := words.Outcome(e.Outcome, words.Plain); err == nil {
				fmt.Fprintln(w, printable(text))
			}
		}
	}
}
