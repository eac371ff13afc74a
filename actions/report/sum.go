package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxGroups is how many rows a table has while it is summed; what comes beyond is summed as
// others.
const maxGroups = 10_000

// name identifies a row of a table.
type name struct{ name, project string }

// table has the rows of one table while it is summed.
type table struct {
	rows map[name]*Sums
	rest *Sums // of what has no row
}

func newTable() table { return table{rows: map[name]*Sums{}, rest: newSums()} }

func newSums() *Sums { return &Sums{Outcomes: map[string]int{}} }

// row returns the sums of the row of a name.
func (t table) row(n name) *Sums {
	if row := t.rows[n]; row != nil {
		return row
	}
	if len(t.rows) >= maxGroups {
		return t.rest
	}
	row := newSums()
	t.rows[name{strings.Clone(n.name), strings.Clone(n.project)}] = row
	return row
}

// list returns the rows of the report.
func (t table) list() []Row {
	rows := make([]Row, 0, len(t.rows))
	for n, sums := range t.rows {
		sums.Retries.finish()
		rows = append(rows, Row{Name: n.name, Project: n.project, Sums: *sums})
	}
	retries := func(r Row) int { return r.Retries.Started + r.WouldRetry.Retries }
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(retries(b), retries(a)), cmp.Compare(b.Decisions(), a.Decisions()), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	})
	others := t.rest
	n := max(0, len(rows)-MaxRows)
	for _, row := range rows[len(rows)-n:] {
		others.add(row.Sums)
	}
	rows = rows[:len(rows)-n]
	if others.Decisions() > 0 {
		others.Retries.finish()
		rows = append(rows, Row{Others: n, Sums: *others})
	}
	return rows
}

// add adds other sums.
func (s *Sums) add(o Sums) {
	for result, n := range o.Outcomes {
		s.Outcomes[result] += n
	}
	s.Retries.add(o.Retries)
	s.WouldRetry.Retries += o.WouldRetry.Retries
	s.WouldRetry.PassedAnyway += o.WouldRetry.PassedAnyway
	s.Erased += o.Erased
	s.Freed += o.Freed
}

func (r *Retries) add(o Retries) {
	r.Started += o.Started
	r.Passed += o.Passed
	r.Failed += o.Failed
	r.Canceled += o.Canceled
	r.Open += o.Open
	r.Later += o.Later
	r.Saved += o.Saved
	r.FailedBefore.add(o.FailedBefore)
	r.PassedRuns.add(o.PassedRuns)
	r.FailedAgain.add(o.FailedAgain)
}

func (t *RunTime) add(o RunTime) {
	t.Seconds += o.Seconds
	t.Unknown += o.Unknown
	t.Cost += o.Cost
	t.Unpriced += o.Unpriced
}

// finish computes what follows from the counts.
func (r *Retries) finish() {
	r.PassRate = passRate(r.Passed, r.Failed)
}

// passRate returns how many of some runs passed; nil if there are none.
func passRate(passed, failed int) *float64 {
	if passed+failed == 0 {
		return nil
	}
	return new(float64(passed) / float64(passed+failed))
}

// summary sums entries, which are added from the newest on: the ends of runs come before
// the retries that started them. It keeps no string of an entry but a copy: those of an
// entry share its memory.
type summary struct {
	query  Query
	prices rules.Prices
	half   time.Time // where the second half of the span begins
	total  *Sums

	rules, actions, projects, classes, jobs table

	runs   map[runKey]run   // ended runs whose retry may come
	passed map[jobKey]int64 // of a dry run: the id of the newest run that passed

	days    map[string]*Retries // by their dates
	delays  []Delay
	runners runners

	instances map[string]string
}

func newSummary(q Query, until time.Time, prices rules.Prices) *summary {
	return &summary{
		query: q, prices: prices, half: q.Since.Add(until.Sub(q.Since) / 2), total: newSums(),
		days: map[string]*Retries{}, delays: slices.Clone(delays), runners: newRunners(),
		rules: newTable(), actions: newTable(), projects: newTable(), classes: newTable(), jobs: newTable(),
		runs: map[runKey]run{}, passed: map[jobKey]int64{}, instances: map[string]string{},
	}
}

// add adds an entry that was made at a time.
func (s *summary) add(e *entry, at time.Time) {
	var ended run
	var known bool
	if e.startsRetry() {
		key := runKey{e.Meta.Instance, e.NewJobID}
		ended, known = s.runs[key]
		delete(s.runs, key) // what is older can't need it
		if !known {
			ended, known = e.NewRun.ended(s.prices)
		}
	}
	s.note(e)
	if !s.query.matches(e) {
		return
	}
	sums := Sums{Outcomes: map[string]int{e.outcome(): 1}}
	sums.Erased, sums.Freed = e.erased()
	switch {
	case s.query.DryRun && e.Action.Verb == event.VerbRetry:
		sums.WouldRetry.Retries = 1
		if s.passed[e.jobKey()] > e.Job.ID {
			sums.WouldRetry.PassedAnyway = 1
		}
	case e.startsRetry():
		sums.Retries = s.retryOf(e, at, ended, known)
		s.addDay(at, sums.Retries)
		s.addDelay(e, ended, known)
		s.addRunners(e, ended, known)
	}
	for _, row := range []*Sums{
		s.total, s.rules.row(name{name: e.Rule}), s.actions.row(name{name: e.Action.Verb}), s.projects.row(name{name: e.Project.Path}),
		s.classes.row(name{name: e.class()}), s.jobs.row(name{name: e.Job.Name, project: e.Project.Path}),
	} {
		row.add(sums)
	}
}

// note keeps what an entry shows of the run of its job, for the entries that are older.
func (s *summary) note(e *entry) {
	r, ok := e.Job.ended(s.prices)
	switch {
	case !ok:
		return
	case s.query.DryRun:
		if r.status == "success" {
			key := e.jobKey()
			key.name = strings.Clone(key.name)
			s.pass(key, e.Job.ID)
		}
		return
	}
	key := runKey{s.instance(e.Meta.Instance), e.Job.ID}
	if newer, there := s.runs[key]; there && newer.time.Unknown == 0 {
		return
	}
	s.runs[key] = r
	s.runners.name(r.runner, e.Job.Runner.Description)
}

// instance returns the address of a GitLab, of which there is one copy in memory.
func (s *summary) instance(address string) string {
	if s.instances[address] == "" {
		address = strings.Clone(address)
		s.instances[address] = address
	}
	return s.instances[address]
}

// pass notes that a run of a job passed.
func (s *summary) pass(key jobKey, id int64) { s.passed[key] = max(s.passed[key], id) }

// report returns the report of all that was added, of the time since some day.
func (s *summary) report(since, until time.Time) Report {
	s.total.Retries.finish()
	return Report{
		Since: s.query.Since.UTC(), Until: until, PersonAfter: event.Duration(s.query.PersonAfter), Currency: s.prices.Currency, Rule: s.query.Rule, Project: s.query.Project, DryRun: s.query.DryRun, Total: *s.total,
		Rules: s.rules.list(), Actions: s.actions.list(), Projects: s.projects.list(), Classes: s.classes.list(), Jobs: s.jobs.list(),
		Days: s.listDays(since, until), Delays: s.delays, Runners: s.runners.list(),
	}
}
