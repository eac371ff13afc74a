package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// outcomeView is the data of outcome.*.tmpl, in the style of the medium.
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
	Artifacts bool          // an erase takes them too
	Freed     string        // by an erase, such as 1.2 GB
	Took      time.Duration // from the decision to retry until the job was seen to have passed
	Asks      bool          // of a deferred one: a person must confirm it
	Custom    bool          // the text is the rule's, which may lack the reason
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
	return s.Say(block, viewOf(o, s))
}

// Together returns the default text of an outcome for a message of so many branches, tags and
// merge requests.
func Together(text string, refs int, s Style) (string, error) {
	return s.Say("together", struct {
		Text string
		Refs int
	}{text, refs})
}

// turnView is the data of the blocks about a state.
type turnView struct {
	outcomeView
	Since   time.Time     // when it turned
	Lasted  time.Duration // of one that is over: for how long it was true
	Project string
	Ref     string
}

// Turn returns the text about the turn of a state in the outcome whose rule gives none.
func Turn(o event.Outcome, st event.State, s Style) (string, error) {
	v := turnView{outcomeView: viewOf(o, s), Since: st.Since, Project: s.Text(o.Project.Path, maxName), Ref: s.Text(o.Pipeline.Ref, maxName)}
	if !st.Before.IsZero() {
		v.Lasted = seconds(st.Since.Sub(st.Before))
	}
	return s.Say(st.Turn, v)
}

// OutcomeDetails returns the small print under the text of an outcome; custom says that
// the text is the rule's.
func OutcomeDetails(o event.Outcome, custom bool, s Style) (string, error) {
	v := viewOf(o, s)
	v.Custom = custom
	return s.Say("details", v)
}

// JobFacts returns what a message says of an outcome's job beside the text: stage, state,
// attempt and runner; "" if the outcome is of no job.
func JobFacts(o event.Outcome, s Style) (string, error) { return s.Say("facts", viewOf(o, s)) }

func viewOf(o event.Outcome, s Style) outcomeView {
	name := func(text string) string { return s.Text(text, maxName) }
	terms, failure := TermsIn(s.Language), failureOf(o.Job, name)
	v := outcomeView{
		Result:    name(o.Result),
		Verb:      name(strings.TrimSuffix(o.Action.Verb, "_pipeline")),
		Rule:      s.Code(o.Rule),
		Failure:   strings.Join(failure, ", "),
		Stage:     name(o.Job.Stage),
		State:     s.Status(o.Job.Status),
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
		v.Took = seconds(o.At.Sub(o.DecidedAt))
	}
	v.Why = strings.Join(slices.DeleteFunc(failure, func(part string) bool { return strings.Contains(v.Reason, part) }), ", ")
	job, ofJob := s.Link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf(terms.Job, o.Job.ID))), o.Job.ID != 0 || o.Job.Name != ""
	switch {
	case ofJob && event.OfPipeline(o.Action.Verb):
		v.Why = strings.TrimSuffix(job+": "+v.Why, ": ")
		v.Target = pipelineOf(o, s)
	case ofJob && o.Bridge:
		v.Target = fmt.Sprintf(terms.TriggerJob, job)
	case ofJob && o.Job.Name == "":
		v.Target = job
	case ofJob:
		v.Target = fmt.Sprintf(terms.NamedJob, job)
	case o.Pipeline.ID != 0:
		v.Target = pipelineOf(o, s)
	default:
		v.Target = terms.TheProject
	}
	if id, page := o.NewJob(); id != 0 {
		v.NewJob = s.Link(page, fmt.Sprintf(terms.Job, id))
	}
	return v
}

// pipelineOf names the outcome's pipeline.
func pipelineOf(o event.Outcome, s Style) string {
	if o.Pipeline.ID == 0 {
		return TermsIn(s.Language).ThePipeline
	}
	return s.Link(o.Pipeline.URL, fmt.Sprintf(TermsIn(s.Language).Pipeline, o.Pipeline.ID, o.Pipeline.Name))
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

// seconds returns a duration; 0 for less than a second.
func seconds(d time.Duration) time.Duration {
	if d < time.Second {
		return 0
	}
	return d
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
