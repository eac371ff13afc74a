package report

import (
	"cmp"
	"slices"
	"strings"
)

// runners counts runs by runner. Its descriptions are those of the newest runs.
type runners struct {
	rows  map[int64]*Runner // by their ids
	rest  *Runner           // those that have no row
	names map[int64]string
}

func newRunners() runners {
	return runners{rows: map[int64]*Runner{}, rest: &Runner{}, names: map[int64]string{}}
}

// name keeps the description of a runner, unless it has one.
func (r runners) name(id int64, description string) {
	if id != 0 && description != "" && r.names[id] == "" && len(r.names) < maxGroups {
		r.names[id] = strings.Clone(description)
	}
}

// row returns the row of a runner.
func (r runners) row(id int64) *Runner {
	if row := r.rows[id]; row != nil {
		return row
	}
	if len(r.rows) >= maxGroups {
		return r.rest
	}
	r.rows[id] = &Runner{ID: id}
	return r.rows[id]
}

// addRunners counts the run that was retried and the new one by their runners.
func (s *summary) addRunners(e *entry, ended run, known bool) {
	s.runners.name(e.Job.Runner.ID, e.Job.Runner.Description)
	s.runners.row(e.Job.Runner.ID).FailedBefore++
	if !known {
		return
	}
	s.runners.name(e.NewRun.Runner.ID, e.NewRun.Runner.Description)
	switch ended.status {
	case "success":
		s.runners.row(ended.runner).Passed++
	case "failed":
		s.runners.row(ended.runner).Failed++
	}
}

// list returns the runners of the report.
func (r runners) list() []Runner {
	rows := make([]Runner, 0, len(r.rows))
	for _, row := range r.rows {
		row.Description = r.names[row.ID]
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b Runner) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(b.FailedBefore, a.FailedBefore), cmp.Compare(b.Passed, a.Passed), cmp.Compare(a.ID, b.ID))
	})
	shown := rows[:min(len(rows), MaxRows)]
	others := *r.rest
	others.Others = len(rows) - len(shown)
	for _, row := range rows[len(shown):] {
		others.FailedBefore += row.FailedBefore
		others.Passed += row.Passed
		others.Failed += row.Failed
	}
	if others.FailedBefore+others.Passed+others.Failed > 0 {
		shown = append(shown, others)
	}
	for i := range shown {
		shown[i].PassRate = passRate(shown[i].Passed, shown[i].Failed)
	}
	return shown
}
