package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/background"
)

// Checked is what a check found last.
type Checked struct {
	Finding
	At time.Time `json:"at"` // when the check was made
}

// Last is what each check found last, whichever replica made it, and the checks that people
// request.
type Last = background.Task[[]Checked]

// allFor bounds a run of all checks, some of which send requests for each project.
const allFor = 30 * time.Minute

// Requested returns the work of making the cheap checks of a service now, or all of them. Of
// all, the requests to GitLab yield to all others. Of checks that are stopped, what was found
// before stays.
func (w *Watch) Requested(all bool) background.Work[[]Checked] {
	return func(ctx context.Context, last []Checked, progress func(done, of int)) ([]Checked, error) {
		cfg, checks, bound := w.Config(), Cheap(), roundFor
		if all {
			checks, bound = Checks, allFor
			if cfg.GitLab != nil {
				cfg.GitLab = cfg.GitLab.Sweeping()
			}
		}
		cfg.Progress = func(done, of int, _ string) { progress(done, of) }
		ctx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		found, err := Run(ctx, cfg, checks), ctx.Err()
		if err != nil {
			checks, found = ended(checks, found)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the checks have taken longer than %s, and the rest of them was not made", bound)
		}
		return merged(last, checks, found, cfg.Now()), err
	}
}

// ended returns those of the checks that a run had made when it was stopped, and their findings.
func ended(checks []Check, found []Finding) ([]Check, []Finding) {
	cut := func(id string) bool {
		return slices.ContainsFunc(found, func(f Finding) bool { return f.Check == id && f.Passing })
	}
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return cut(c.ID) }),
		slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return cut(f.Check) })
}

// Status is what the checks found last, in numbers.
type Status struct {
	Problems int    `json:"problems"`
	Warnings int    `json:"warnings"`
	Summary  string `json:"summary"` // for people
}

// Status returns what the checks found last, in numbers.
func (w *Watch) Status(ctx context.Context) Status {
	last, ok, err := w.Last.Last(ctx)
	switch {
	case err != nil:
		return Status{Summary: "not known: " + err.Error()}
	case !ok:
		return Status{Summary: "not made yet"}
	}
	var s Status
	for _, f := range last.Found {
		switch f.Severity {
		case Problem:
			s.Problems++
		case Warning:
			s.Warnings++
		case OK, Note, Unknown:
		}
	}
	s.Summary = "in order"
	if s.Problems+s.Warnings > 0 {
		s.Summary = fmt.Sprintf("%s, %s", english.Plural(s.Problems, "problem", ""), english.Plural(s.Warnings, "warning", ""))
	}
	return s
}

// keep keeps what the checks of a round found.
func (w *Watch) keep(ctx context.Context, checks []Check, found []Finding) {
	at := w.Config().Now()
	err := w.Last.Do(ctx, func(_ context.Context, last []Checked, _ func(done, of int)) ([]Checked, error) {
		return merged(last, checks, found, at), nil
	})
	if err != nil && ctx.Err() == nil {
		w.Log.DebugContext(ctx, "what the checks found is not kept", "reason", err)
	}
}

// merged returns what each check found last: that of the checks which were made at a time,
// and else what was found before. Findings of checks that are no more are left out.
func merged(before []Checked, made []Check, found []Finding, at time.Time) []Checked {
	all := slices.DeleteFunc(slices.Clone(before), func(c Checked) bool { return indexOf(made, c.Check) >= 0 || indexOf(Checks, c.Check) < 0 })
	for _, f := range found {
		all = append(all, Checked{f, at.UTC()})
	}
	slices.SortStableFunc(all, func(a, b Checked) int { return cmp.Compare(indexOf(Checks, a.Check), indexOf(Checks, b.Check)) })
	return all
}

// indexOf returns the place of the check with an id; -1: it is not among them.
func indexOf(checks []Check, id string) int {
	return slices.IndexFunc(checks, func(c Check) bool { return c.ID == id })
}
