package ownpipeline

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Would evaluates the rules on the events where there is no access token, and returns
// what they decide as outcomes of a dry run. Rules that can't be evaluated are logged as
// errors. The guards, which read what a job token may not, are not checked. spared returns
// why a decision would not be carried out anyway, "" for none.
func Would(ctx context.Context, rs *rules.Rules, events Events, spared func(event.Decision) string, log *slog.Logger) []Entry {
	var entries []Entry
	seen := map[string]bool{}
	for _, e := range events.Wanted {
		decisions, errs := rs.Evaluate(ctx, e, jobsOnly(events.Jobs))
		for _, err := range errs {
			log.ErrorContext(ctx, "a rule could not be evaluated and did not fire", append(event.LogAttrs(e), "rule", err.Rule, "part", err.Part, "error", err.Err)...)
		}
		for _, d := range decisions {
			if seen[d.Key] {
				continue
			}
			seen[d.Key] = true
			o := event.Outcome{Decision: d, Result: event.ResultDryRun}
			if reason := spared(d); reason != "" {
				o.Result, o.Reason = event.ResultSkipped, reason
			}
			entries = append(entries, Entry{Outcome: o})
		}
	}
	return entries
}

// jobsOnly are the facts that a job token may read: the pipeline's jobs.
type jobsOnly []event.Job

var _ expression.Facts = jobsOnly(nil)

// needsToken returns the error of a function that a job token is not enough for.
func needsToken(function string) error {
	return fmt.Errorf("%s reads what a job token may not: give an access token with the scope api as PIPESTEWARD_GITLAB_TOKEN", function)
}

func (jobsOnly) Log(context.Context, event.Event) (string, error) { return "", needsToken("log()") }

func (j jobsOnly) Jobs(context.Context, event.Event) ([]event.Job, error) { return j, nil }

func (jobsOnly) Bridges(context.Context, event.Event) ([]event.Bridge, error) {
	return nil, needsToken("bridges()")
}

func (jobsOnly) Details(context.Context, event.Event) (event.Details, error) {
	return event.Details{}, needsToken("details()")
}

func (jobsOnly) MergeRequestDetails(context.Context, event.Event) (event.MergeRequestDetails, error) {
	return event.MergeRequestDetails{}, needsToken("merge_request_details()")
}

func (jobsOnly) OnDefault(context.Context, event.Event) (event.OnDefault, error) {
	return event.OnDefault{}, needsToken("on_default()")
}

func (jobsOnly) Tests(context.Context, event.Event) ([]event.FailedTest, error) {
	return nil, needsToken("tests()")
}

func (jobsOnly) Superseded(context.Context, event.Event) (bool, error) {
	return false, needsToken("superseded()")
}
