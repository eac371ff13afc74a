package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// outcomeView is the data of outcome.tmpl, in the style of the medium.
type outcomeView struct {
	Result    string
	Verb      string // without its suffix _pipeline
	Rule      string // as code
	By        string // the person who requested it; "": the Rule did
	Target    string // of the action: the job, the trigger job or the pipeline; a link
	NewJob    string // a link to the job that runs now
	Failure   string // the job's failure_reason, and its class if that is a user's
	Why       string // the parts of Failure that the Reason lacks; for a pipeline also the job
	Stage     string // of the job
	State     string // of the job, in GitLab's words without '_'
	Attempt   int
	Runner    string
	Reason    string
	Artifacts bool   // an erase takes them too
	Freed     string // by an erase, such as 1.2 GB
	Asks      bool   // of a deferred one: a person must confirm it
	Took      string // from the decision to retry until the job was seen to have passed
	Custom    bool   // the text is the rule's, which may lack the reason
}

// Outcome returns the text of an outcome whose rule gives none.
func Outcome(o event.Outcome, s Style) (string, error) {
	block := o.Result
	if o.Sweep.ID != "" {
		block = "sweep"
	}
	if !slices.Contains(event.Results, o.Result) {
		block = "other"
	}
	return Say(block, viewOf(o, s))
}

// turnView is the data of the blocks about a state.
type turnView struct {
	outcomeView
	Since   string // when it turned
	Lasted  string // of one that is over: for how long it was true
	Project string
	Ref     string
}

// Turn returns the text about the turn of a state in the outcome whose rule gives none.
func Turn(o event.Outcome, st event.State, s Style) (string, error) {
	v := turnView{outcomeView: viewOf(o, s), Since: clock(st.Since), Project: s.Text(o.Project.Path, maxName), Ref: s.Text(o.Pipeline.Ref, maxName)}
	if !st.Before.IsZero() {
		v.Lasted = span(st.Since.Sub(st.Before))
	}
	return Say(st.Turn, v)
}

// clock writes a point in time.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// OutcomeDetails returns the small print under the text of an outcome; custom says that
// the text is the rule's.
func OutcomeDetails(o event.Outcome, custom bool, s Style) (string, error) {
	v := viewOf(o, s)
	v.Custom = custom
	return Say("details", v)
}

// JobFacts returns what a message says of an outcome's job beside the text: stage, state,
// attempt and runner; "" if the outcome is of no job.
func JobFacts(o event.Outcome, s Style) (string, error) { return Say("facts", viewOf(o, s)) }

func viewOf(o event.Outcome, s Style) outcomeView {
	name := func(text string) string { return s.Text(text, maxName) }
	failure := failureOf(o.Job, name)
	v := outcomeView{
		Result:    name(o.Result),
		Verb:      name(strings.TrimSuffix(o.Action.Verb, "_pipeline")),
		Rule:      s.Code(o.Rule),
		Failure:   strings.Join(failure, ", "),
		Stage:     name(o.Job.Stage),
		State:     name(strings.ReplaceAll(o.Job.Status, "_", " ")),
		Attempt:   o.Job.Attempt,
		Runner:    name(o.Job.Runner.Description),
		Reason:    s.Text(o.Reason, maxReason),
		Artifacts: o.Action.Artifacts,
		Asks:      o.WaitsFor == event.WaitConfirm,
		Freed:     size(o.Freed),
	}
	if o.Requested() {
		v.By = name(cmp.Or(o.By.Name, o.By.UserID))
	}
	if !o.DecidedAt.IsZero() {
		v.Took = span(o.At.Sub(o.DecidedAt))
	}
	v.Why = strings.Join(slices.DeleteFunc(failure, func(part string) bool { return strings.Contains(v.Reason, part) }), ", ")
	job, ofJob := s.Link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf("job %d", o.Job.ID))), o.Job.ID != 0 || o.Job.Name != ""
	switch {
	case ofJob && event.OfPipeline(o.Action.Verb):
		v.Why = strings.TrimSuffix(job+": "+v.Why, ": ")
		v.Target = pipelineOf(o, s)
	case ofJob && o.Bridge:
		v.Target = "trigger job " + job
	case ofJob:
		v.Target = job
	case o.Pipeline.ID != 0:
		v.Target = pipelineOf(o, s)
	default:
		v.Target = "the project"
	}
	if o.NewJobID != 0 && o.NewJobID != o.Job.ID {
		address := ""
		if o.Project.URL != "" {
			address = fmt.Sprintf("%s/-/jobs/%d", o.Project.URL, o.NewJobID)
		}
		v.NewJob = s.Link(address, fmt.Sprintf("job %d", o.NewJobID))
	}
	return v
}

// pipelineOf names the outcome's pipeline.
func pipelineOf(o event.Outcome, s Style) string {
	if o.Pipeline.ID == 0 {
		return "the pipeline"
	}
	return s.Link(o.Pipeline.URL, fmt.Sprintf("pipeline #%d %s", o.Pipeline.ID, o.Pipeline.Name))
}

// failureOf lists why the job failed: GitLab's reason, and the failure class if a
// user defined it.
func failureOf(j event.Job, name func(string) string) []string {
	var parts []string
	if j.FailureReason != "" {
		parts = append(parts, name(j.FailureReason))
	}
	if j.FailureClass != "" && j.FailureClass != event.ClassOf(j.FailureReason) {
		parts = append(parts, name(j.FailureClass))
	}
	return parts
}

// span formats a duration, like 45s or 2h30m; "" for less than a second.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return ""
	case d > time.Hour:
		d = d.Truncate(time.Minute)
	}
	return event.Duration(d.Truncate(time.Second)).String()
}

// size formats a number of bytes, like 1.2 GB; "" for none.
func size(bytes int64) string {
	switch {
	case bytes <= 0:
		return ""
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	}
	n, units := float64(bytes)/1000, []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	for n >= 999.95 { // which would show as 1000.0
		n, units = n/1000, units[1:]
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
}
