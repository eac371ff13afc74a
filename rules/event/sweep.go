package event

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
)

// Sweep is one run of a schedule rule: how far it is, and what came of it. It
// is the queue's record while it runs, and stands in the journal after it.
type Sweep struct {
	ID     string    `json:"id"`
	Rule   string    `json:"rule"`
	Due    time.Time `json:"due,omitzero"` // when it was to begin; zero: by hand
	Began  time.Time `json:"began,omitzero"`
	DryRun bool      `json:"dry_run,omitzero"`

	SweepCounts
	Finished int            `json:"finished"`           // projects
	Projects []SweepProject `json:"projects,omitempty"` // where something was erased or failed, up to 1,000, and the one at hand
	More     int            `json:"more,omitzero"`      // projects that are not among those
	Problems []SweepProblem `json:"problems,omitempty"` // up to 100

	Place SweepPlace `json:"place,omitzero"`
}

// SweepCounts counts jobs. Of a dry run, Erased and Freed are what would be.
type SweepCounts struct {
	Jobs   int   `json:"jobs"`            // looked at
	Erased int   `json:"erased"`          // now
	Before int   `json:"before,omitzero"` // erased already
	Kept   int   `json:"kept,omitzero"`   // the rule or its erase leaves them, or what it wants was decided before
	Queued int   `json:"queued,omitzero"` // decisions on them wait in the queue
	Failed int   `json:"failed,omitzero"`
	Freed  int64 `json:"freed"` // bytes
}

// SweepProject is what came of one project.
type SweepProject struct {
	ID   int64  `json:"id"`
	Path string `json:"path"`
	SweepCounts
}

// SweepProblem is something that did not work, and where it happened first.
type SweepProblem struct {
	Project string `json:"project"` // its path, or the entry of `projects`
	Job     int64  `json:"job,omitzero"`
	Reason  string `json:"reason"`
	Times   int    `json:"times"`
}

// SweepPlace is where a sweep goes on after it was interrupted: in the project
// with that id, or in the one after it, on that page of its jobs.
type SweepPlace struct {
	Project int64  `json:"project,omitzero"`
	Done    bool   `json:"done,omitzero"` // the project
	Cursor  string `json:"cursor,omitzero"`
	Tries   int    `json:"tries,omitzero"` // of the page, that failed
	// Seen are the jobs of the page that were looked at before it was
	// interrupted.
	Seen    []int64 `json:"seen,omitempty"`
	Refused int     `json:"refused,omitzero"` // jobs in a row, for want of rights
}

// What a sweep keeps for its summary, at most.
const (
	maxSweepProjects = 1000
	maxSweepProblems = 100
)

// Add adds other counts.
func (c *SweepCounts) Add(other SweepCounts) {
	c.Jobs += other.Jobs
	c.Erased += other.Erased
	c.Before += other.Before
	c.Kept += other.Kept
	c.Queued += other.Queued
	c.Failed += other.Failed
	c.Freed += other.Freed
}

// Count adds what came of jobs of a project, the one that the run is in.
func (s *Sweep) Count(p Project, counts SweepCounts) {
	s.Add(counts)
	if last := len(s.Projects) - 1; last < 0 || s.Projects[last].ID != p.ID {
		s.Projects = append(s.Projects, SweepProject{ID: p.ID, Path: p.Path})
	}
	s.Projects[len(s.Projects)-1].Add(counts)
}

// End notes that the run is through with a project, whose line stays where
// something happened in it.
func (s *Sweep) End(p Project) {
	s.Finished++
	s.Place = SweepPlace{Project: p.ID, Done: true}
	last := len(s.Projects) - 1
	if last < 0 || s.Projects[last].ID != p.ID {
		return
	}
	changed := s.Projects[last].Erased+s.Projects[last].Failed+s.Projects[last].Queued > 0
	if changed && len(s.Projects) > maxSweepProjects {
		s.More++
	}
	if !changed || len(s.Projects) > maxSweepProjects {
		s.Projects = s.Projects[:last]
	}
}

// Problem notes something that did not work; the same in a project is one
// line.
func (s *Sweep) Problem(project string, job int64, reason string) {
	for i := range s.Problems {
		if p := &s.Problems[i]; p.Project == project && p.Reason == reason {
			p.Times++
			return
		}
	}
	if len(s.Problems) == maxSweepProblems {
		last := &s.Problems[maxSweepProblems-1]
		if last.Project != "" {
			*last = SweepProblem{Reason: "other problems", Times: last.Times}
		}
		last.Times++
		return
	}
	s.Problems = append(s.Problems, SweepProblem{project, job, reason, 1})
}

// Sort puts the projects first in which most was freed.
func (s *Sweep) Sort() {
	slices.SortStableFunc(s.Projects, func(a, b SweepProject) int {
		return cmp.Or(cmp.Compare(b.Freed, a.Freed), cmp.Compare(b.Erased, a.Erased), cmp.Compare(a.ID, b.ID))
	})
}

// String names the problem in a line.
func (p SweepProblem) String() string {
	text := p.Reason
	if p.Job != 0 {
		text = fmt.Sprintf("job %d: %s", p.Job, text)
	}
	if p.Project != "" {
		text = p.Project + ": " + text
	}
	if p.Times > 1 {
		text += fmt.Sprintf(" (%d times)", p.Times)
	}
	return text
}

// String sums the run up in a line, with the first of its problems.
func (s Sweep) String() string {
	text := s.Sums()
	for i, p := range s.Problems {
		if i == 3 {
			return text + "; and " + counted(len(s.Problems)-i, "more problem")
		}
		text += "; " + p.String()
	}
	return text
}

// Sums sums the run up in a line.
func (s Sweep) Sums() string {
	erased := "erased %s of %s"
	if s.DryRun {
		erased = "would erase %s of %s"
	}
	parts := []string{
		fmt.Sprintf(erased, humanize.Comma(int64(s.Erased)), counted(s.Jobs, "job")) + " in " + counted(s.Finished, "project"),
		"freed " + humanize.Bytes(uint64(s.Freed)),
	}
	if s.DryRun {
		parts[1] = humanize.Bytes(uint64(s.Freed))
	}
	if s.Queued > 0 {
		parts = append(parts, counted(s.Queued, "job")+" for other actions")
	}
	if s.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", s.Failed))
	}
	return strings.Join(parts, ", ")
}

// counted writes a number of things: 1 job, 2,000 jobs.
func counted(n int, thing string) string {
	return humanize.Comma(int64(n)) + " " + english.PluralWord(n, thing, "")
}
