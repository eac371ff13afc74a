package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/ownpipeline"
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
		r.entry(&b, e, now)
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
	fmt.Fprintf(b, "pipeline %d of %s on %s is %s: %s\n", job.Pipeline.ID, r.place.Project.Path, job.Pipeline.Ref, r.events.Status, job.Pipeline.URL)
	fmt.Fprintf(b, "this is job %d %q, which is left alone\n", job.ID, job.Name)
	fmt.Fprintf(b, "%s for the pipeline as it is and its %s\n", english.Plural(r.rules, "rule", ""), english.Plural(r.events.Ended, "job that has ended", "jobs that have ended"))
	switch {
	case r.place.AgentsErr != nil:
		fmt.Fprintf(b, "Kubernetes agents that this job may use: not known (%v)\n", r.place.AgentsErr)
	case len(r.place.Agents) == 0:
		fmt.Fprintln(b, "Kubernetes agents that this job may use: none")
	default:
		var agents []string
		for _, a := range r.place.Agents {
			agents = append(agents, fmt.Sprintf("%d (of project %s)", a.ID, projectName(a.ConfigProject)))
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
func (r ciReport) entry(b *strings.Builder, e ownpipeline.Entry, now time.Time) {
	mark, paint := "·", r.dim
	switch {
	case e.Result == event.ResultFailed || e.Result == event.ResultGaveUp:
		mark, paint = "✗", r.red
	case e.Left():
		mark, paint = "→", r.yellow
	case e.Result == event.ResultDone:
		mark, paint = "✓", r.green
	}
	fmt.Fprintf(b, "%s %s %s  %s\n", paint(mark), paint(fmt.Sprintf("%-9s", resultWord(e))), whatFor(e), r.dim("(rule "+e.Rule+")"))
	var why []string
	if e.Reason != "" {
		why = append(why, e.Reason)
	}
	if wait := e.Due.Sub(now).Round(time.Second); e.Result == "" && wait > 0 {
		why = append(why, fmt.Sprintf("due in %s", wait))
	}
	if e.NewJobID != 0 && e.NewJobID != e.Job.ID {
		why = append(why, fmt.Sprintf("runs as job %d", e.NewJobID))
	}
	if len(why) > 0 {
		fmt.Fprintf(b, "            %s\n", strings.Join(why, ", "))
	}
}

// resultWord returns an outcome as the report names it.
func resultWord(e ownpipeline.Entry) string {
	switch e.Result {
	case "", event.ResultDeferred:
		return "left"
	case event.ResultDryRun:
		return "would"
	case event.ResultGaveUp:
		return "gave up"
	}
	return e.Result
}

// whatFor names a decision's action and its object.
func whatFor(e ownpipeline.Entry) string {
	switch verb := e.Action.Verb; {
	case verb == event.VerbNotify:
		return "notify"
	case event.OfPipeline(verb):
		return fmt.Sprintf("%s, pipeline %d", verb, e.Pipeline.ID)
	default:
		return fmt.Sprintf("%s of %s (job %d)", verb, e.Job.Name, e.Job.ID)
	}
}

// sum returns the numbers of outcomes.
func (r ciReport) sum() string {
	counts := map[string]int{}
	for _, e := range r.result.Entries {
		counts[resultWord(e)]++
	}
	var parts []string
	for _, word := range []string{"done", "would", "skipped", "left", "gave up", "failed"} {
		if n := counts[word]; n > 0 {
			if word == "would" {
				word = "in dry run"
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
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
		if e.Result == "" || e.Result == event.ResultDeferred {
			late++
		}
	}
	if late > 0 {
		lines = append(lines, english.Plural(late, "action is", "actions are")+" left, due later than --wait allows: raise it, or run this job again then.")
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
		lines = append(lines, "GitLab can't be used: "+r.result.Trouble)
	}
	if r.result.Errors > 0 {
		lines = append(lines, "The lines with level=ERROR above say what failed.")
	}
	return lines
}

// printWaiting says what is waited for.
func printWaiting(w io.Writer, left []ownpipeline.Entry, atMost time.Duration) {
	for _, e := range left {
		if wait := time.Until(e.Due).Round(time.Second); wait > 0 && wait <= atMost {
			fmt.Fprintf(w, "%s is due in %s\n", whatFor(e), wait)
		}
	}
}
