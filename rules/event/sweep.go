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

// Sweep is the progress and the result of one run of a schedule rule. It is a
// record of the queue while it runs and an entry of the journal afterwards.
type Sweep struct {
	ID     string    `json:"id"`
	Rule   string    `json:"rule"`
	Due    time.Time `json:"due,omitzero"` // scheduled start; zero if a person started it
	Began  time.Time `json:"began,omitzero"`
	DryRun bool      `json:"dry_run,omitzero"`
	Verbs  []string  `json:"verbs,omitempty"` // those of the rule; none in records of earlier versions, which erase

	SweepCounts
	Finished int            `json:"finished"`           // number of projects
	Projects []SweepProject `json:"projects,omitempty"` // up to 1,000 projects in which something was erased or failed, including the current one
	More     int            `json:"more,omitzero"`      // number of projects that are not in Projects
	Problems []SweepProblem `json:"problems,omitempty"` // up to 100

	Place SweepPlace `json:"place,omitzero"`
}

// SweepCounts counts jobs. In a dry run, Erased and Freed are what a real run
// would erase and free.
type SweepCounts struct {
	Jobs   int   `json:"jobs"`            // examined
	Erased int   `json:"erased"`          // erased by this run
	Before int   `json:"before,omitzero"` // already erased before
	Kept   int   `json:"kept,omitzero"`   // not selected by the rule or its erase, or decided before
	Queued int   `json:"queued,omitzero"` // with decisions that wait in the queue
	Failed int   `json:"failed,omitzero"`
	Freed  int64 `json:"freed"` // bytes
}

// SweepProject is the result for one project.
type SweepProject struct {
	ID   int64  `json:"id"`
	Path string `json:"path"`
	SweepCounts
}

// SweepProblem is a failure, with the place where it occurred first.
type SweepProblem struct {
	Project string `json:"project"` // the project's path, or the entry of `projects`
	Job     int64  `json:"job,omitzero"`
	Reason  string `json:"reason"`
	Times   int    `json:"times"`
}

// SweepPlace is the position at which an interrupted sweep continues: on this
// page of the jobs of the project with this id, or in the next project if this
// one is done.
type SweepPlace struct {
	Project int64  `json:"project,omitzero"`
	Done    bool   `json:"done,omitzero"` // the project is done
	Cursor  string `json:"cursor,omitzero"`
	Tries   int    `json:"tries,omitzero"` // failed tries of the page
	// Seen lists the jobs of the page that were examined before the
	// interruption.
	Seen    []int64 `json:"seen,omitempty"`
	Refused int     `json:"refused,omitzero"` // consecutive jobs that were refused because of missing permissions
}

// Limits on the entries that a sweep keeps for its summary.
const (
	maxSweepProjects = 1000
	maxSweepProblems = 100
)

// Erases reports whether the rule erases jobs: the run does this itself, and
// queues the decisions of all other verbs.
func (s Sweep) Erases() bool { return len(s.Verbs) == 0 || slices.Contains(s.Verbs, VerbErase) }

// Verb returns the verb of the run's outcome: erase if the rule erases,
// otherwise its first verb.
func (s Sweep) Verb() string {
	if s.Erases() {
		return VerbErase
	}
	return s.Verbs[0]
}

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

// Count adds the counts of jobs to the line of a project, which is the current
// one.
func (s *Sweep) Count(p Project, counts SweepCounts) {
	s.Add(counts)
	if last := len(s.Projects) - 1; last < 0 || s.Projects[last].ID != p.ID {
		s.Projects = append(s.Projects, SweepProject{ID: p.ID, Path: p.Path})
	}
	s.Projects[len(s.Projects)-1].Add(counts)
}

// End records that the run has finished a project. The project's line is kept
// if something was erased, queued or failed in it.
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

// Problem records a failure. Repetitions of a failure in a project share one
// entry.
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

// Sort orders the projects by the bytes freed, the most first.
func (s *Sweep) Sort() {
	slices.SortStableFunc(s.Projects, func(a, b SweepProject) int {
		return cmp.Or(cmp.Compare(b.Freed, a.Freed), cmp.Compare(b.Erased, a.Erased), cmp.Compare(a.ID, b.ID))
	})
}

// String formats the problem as one line.
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

// String summarizes the run in one line, including the first problem.
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

// Sums summarizes the counts of the run in one line.
func (s Sweep) Sums() string {
	jobs := counted(s.Jobs, "job") + " in " + counted(s.Finished, "project")
	var parts []string
	switch {
	case s.Erases() && s.DryRun:
		parts = []string{fmt.Sprintf("would erase %s of %s", humanize.Comma(int64(s.Erased)), jobs), humanize.Bytes(uint64(s.Freed))}
	case s.Erases():
		parts = []string{fmt.Sprintf("erased %s of %s", humanize.Comma(int64(s.Erased)), jobs), "freed " + humanize.Bytes(uint64(s.Freed))}
	case s.DryRun:
		parts = []string{fmt.Sprintf("would queue %s for %s of %s", s.verbs(), humanize.Comma(int64(s.Queued)), jobs)}
	default:
		parts = []string{fmt.Sprintf("queued %s for %s of %s", s.verbs(), humanize.Comma(int64(s.Queued)), jobs)}
	}
	if s.Queued > 0 && s.Erases() {
		parts = append(parts, counted(s.Queued, "job")+" for "+cmp.Or(s.verbs(), "other actions"))
	}
	if s.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", s.Failed))
	}
	return strings.Join(parts, ", ")
}

// verbs names the verbs whose decisions the run queues.
func (s Sweep) verbs() string {
	return english.WordSeries(slices.DeleteFunc(slices.Clone(s.Verbs), func(verb string) bool { return verb == VerbErase }), "and")
}

// counted formats a number of things, as in 1 job or 2,000 jobs.
func counted(n int, thing string) string {
	return humanize.Comma(int64(n)) + " " + english.PluralWord(n, thing, "")
}
