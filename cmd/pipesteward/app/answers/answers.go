// Package answers has what the admin API and Slack answer with: the readers of the actions,
// as the interfaces of the ways in have them.
package answers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/report"
	reportpage "github.com/pipesteward/pipesteward/actions/report/page"
	"github.com/pipesteward/pipesteward/actions/requests"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// Reports sums the journal for the admin API.
type Reports struct {
	report.Reader
	Rules func() *rules.Rules // those in force
}

var _ admin.Reporter = Reports{}

// Report implements admin.Reporter.
func (r Reports) Report(ctx context.Context, q admin.ReportQuery) (any, error) {
	return r.sums(ctx, q)
}

// sums returns a report. The error is an *event.RequestError if it would say nothing, because
// no rule has the name.
func (r Reports) sums(ctx context.Context, q admin.ReportQuery) (report.Report, error) {
	sums, err := r.Reader.Report(ctx, report.Query(q))
	if err != nil || q.Rule == "" || len(sums.Rules) > 0 || r.Rules().Rule(q.Rule) != nil {
		return sums, err
	}
	var names []string
	for _, rule := range r.Rules().All() {
		names = append(names, rule.Name)
	}
	return sums, &event.RequestError{Reason: fmt.Sprintf("there is no rule %q%s, and the journal has no decisions by one of this name since %s",
		q.Rule, spelling.Suggestion(q.Rule, names), sums.Since.UTC().Format(time.RFC3339))}
}

// Page implements admin.Reporter.
func (r Reports) Page(ctx context.Context, q admin.ReportQuery) (any, error) {
	sums, err := r.sums(ctx, q)
	if err != nil {
		return nil, err
	}
	return reportpage.Of(sums)
}

// Limits reads circuit breakers and budgets for the admin API.
type Limits struct{ *actions.Runner }

var _ admin.LimitsReader = Limits{}

// Limits implements admin.LimitsReader.
func (l Limits) Limits(ctx context.Context, of []event.Decision) (admin.Limits, error) {
	limits, storm := l.Rules().Limits(), l.Rules().Storm()
	all := admin.Limits{
		Storm: admin.Storm{Failures: storm.Failures, Pipelines: storm.Pipelines, Within: storm.Within, Pause: storm.Pause}, PerJob: limits.PerJob, PerPipeline: limits.PerPipeline,
		Breakers: []admin.Breaker{}, Budgets: []admin.Budget{},
	}
	states, err := l.Breakers.Recent(ctx)
	if err != nil {
		return all, err
	}
	for _, s := range states {
		all.Breakers = append(all.Breakers, admin.Breaker{Class: s.Class, Open: s.Open(l.Now()), Started: s.Opened, Until: s.Until})
	}
	levels, err := l.Budgets.Levels(ctx, of)
	for _, level := range levels {
		all.Budgets = append(all.Budgets, admin.Budget(level))
	}
	return all, err
}

// Activity sums what the rules made of recent events, for the admin API.
type Activity struct{ evaluated.Log }

var _ admin.ActivityReader = Activity{}

// Activity implements admin.ActivityReader.
func (a Activity) Activity(ctx context.Context) (admin.Activity, error) {
	sums, err := evaluated.Sum(ctx, a.Log)
	all := admin.Activity{Since: sums.Since, Events: sums.Events, Rules: []admin.RuleActivity{}}
	for _, name := range slices.Sorted(maps.Keys(sums.Rules)) {
		all.Rules = append(all.Rules, admin.RuleActivity(*sums.Rules[name]))
	}
	return all, err
}

// Unknowns lists the failed jobs that no class covers, for the admin API.
type Unknowns struct {
	*unknown.Log
	Rules func() *rules.Rules // those in force
}

var _ admin.UnknownLister = Unknowns{}

// Unknown implements admin.UnknownLister.
func (u Unknowns) Unknown(ctx context.Context, since time.Time, project, id string) (page admin.UnknownPage, err error) {
	q := unknown.Query{Since: since, Project: project, ID: id}
	if page.Clusters, err = u.Clusters(ctx, q); err != nil {
		return page, err
	}
	page.NotRead, err = u.CountNotRead(ctx, q)
	page.EveryFailure = u.Rules().ReadsEveryFailure()
	return page, err
}

// Propose implements admin.UnknownLister.
func (u Unknowns) Propose(ctx context.Context, id string) (*admin.Proposal, error) {
	clusters, err := u.Clusters(ctx, unknown.Query{ID: id})
	if err != nil || len(clusters) == 0 {
		return nil, err
	}
	p, err := unknown.Propose(clusters[0], unknown.NoLogs{})
	if generic := new(unknown.GenericError); errors.As(err, &generic) {
		return nil, &event.StateError{Reason: generic.Error()}
	}
	if err != nil {
		return nil, err
	}
	return &admin.Proposal{Class: p.Class, Rules: p.Rules, Test: p.Test, Shipped: p.Shipped}, nil
}

// SlackReports sums the journal for the command in Slack.
type SlackReports struct{ report.Reader }

var _ requests.Reporter = SlackReports{}

// Report implements requests.Reporter.
func (r SlackReports) Report(ctx context.Context, since time.Duration, in words.Style) (string, error) {
	sums, err := r.Reader.Report(ctx, report.Query{Since: r.Now().Add(-since)})
	if err != nil {
		return "", err
	}
	return report.Text(sums, in)
}

// Stories tells stories to the admin API and in Slack.
type Stories struct{ story.Builder }

var (
	_ admin.Storyteller    = Stories{}
	_ requests.Storyteller = Stories{}
)

// Story implements admin.Storyteller.
func (s Stories) Story(ctx context.Context, url, admin string) (any, error) {
	s.Admin = admin
	return s.Build(ctx, url, event.English)
}

// Build implements requests.Storyteller.
func (s Stories) Build(ctx context.Context, url, language string) (story.Story, error) {
	b := s.Builder
	b.Receives = b.Receives || len(b.Rules().Receivers()) > 0
	return b.Build(ctx, url, language)
}
