// Package history reads the past jobs of projects from GitLab, and keeps what it has read
// in files, so that the same is read once:
//
//	history.go  the pages of the list of jobs, newest first, as far back as is wanted
//	files.go    the files: a header and lines of JSON, written as a whole or not at all
//	logs.go     the ends of job logs, with secrets masked
//
// GitLab lists the jobs of a project by id, all runs with those that were retried, without
// trigger jobs (lib/api/ci/jobs.rb in its source). Each page becomes a file when it is read,
// so whatever ends a process, the next one continues there. New jobs come at the top of the
// list, and so a file says which ids it covers, not which page it was.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// youngFor is how long after its creation a job is likely to change, if it or its
	// pipeline has not ended; how long after its end its log may still come.
	youngFor = 24 * time.Hour
	// youngFreshFor is how long a page with such a job is used all the same, so that a
	// process goes on where the last one was stopped.
	youngFreshFor = 10 * time.Minute
	// freshFor is how long a page with an older one is used, such as a manual job that
	// somebody may still play.
	freshFor = 24 * time.Hour
	// maxTries is how often a request is tried while its errors are transient.
	maxTries = 5
)

// GitLab is what is read of GitLab; a *gitlab.Client implements it.
type GitLab interface {
	// Instance returns the base URL, without a slash at its end.
	Instance() string
	// JobsPage returns one page of a project's jobs, newest first, and the cursor of the next.
	JobsPage(ctx context.Context, project int64, cursor string, scope ...string) (jobs []gitlab.Job, next string, err error)
	// Log returns the end of a job's log.
	Log(ctx context.Context, project, job int64) (gitlab.Log, error)
}

var _ GitLab = (*gitlab.Client)(nil)

// Reader reads jobs and logs, from its files or from GitLab. All fields are required.
type Reader struct {
	GitLab GitLab
	Dir    string // of all its files
	Window int64  // how many bytes of a log's end GitLab's Log returns
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error // between two tries of a request
	// Say is called with what a person should know, such as a wait; Unusable with a file that
	// can't be used, and is read anew from GitLab, and why. Several goroutines may call them.
	Say      func(line string)
	Unusable func(file string, why error)
}

// Pipeline is a pipeline with the runs of its jobs, by id ascending, without trigger jobs.
// What it has besides the runs is as GitLab's list of jobs has it, which is less than a
// hook has.
type Pipeline struct {
	event.Pipeline
	Commit event.Commit `json:"commit,omitzero"`
	Runs   []Run        `json:"runs"`
}

// Run is a run of a job. Its Attempt counts the runs of its name in Runs.
type Run struct {
	event.Details
	User event.User `json:"user,omitzero"`
}

// Job returns a run as the Jobs API has it.
func (p *Pipeline) Job(project int64, r *Run) gitlab.Job {
	return gitlab.Job{Details: r.Details, ProjectID: project, Pipeline: p.Pipeline, User: r.User, Commit: p.Commit}
}

// Pipelines returns the pipelines of all jobs of a project that were created at a time or
// later, by id ascending; of those that began before, older jobs may be missing. read is
// called after each page with the time up to which the jobs are read, and their number.
// What was read before an error is kept.
func (r Reader) Pipelines(ctx context.Context, project gitlab.Project, from time.Time, read func(back time.Time, jobs int)) ([]*Pipeline, error) {
	files, err := r.open(project.ID)
	if err != nil {
		return nil, err
	}
	all := collection{}
	at, cursor := int64(0), "" // the id after which the next page begins; 0: at the newest job
	for {
		page, err := files.covering(at)
		if err == nil && page == nil {
			page, err = r.page(ctx, project, at, cursor)
			if err == nil {
				err = files.write(page)
			}
		}
		if err != nil {
			return nil, err
		}
		all.add(page)
		if page.Jobs > 0 {
			read(page.Oldest, all.jobs)
		}
		if at == 0 || page.Last < at { // by offset, jobs that are new since shift the pages
			at = page.Last
		}
		cursor = page.Next
		if cursor == "" || page.Oldest.Before(from) {
			return all.pipelines(from), nil
		}
	}
}

// IsGeneral reports whether an error of a Reader would keep it from reading anything: it is
// that of ctx, of GitLab as a whole, or of the files. Others are about one project or one job.
func IsGeneral(ctx context.Context, err error) bool {
	_, ofFiles := errors.AsType[*CacheError](err)
	return err != nil && (ofFiles || ctx.Err() != nil || event.Transient(err) || event.Unavailable(err))
}

// page reads a page from GitLab.
func (r Reader) page(ctx context.Context, project gitlab.Project, after int64, cursor string) (*page, error) {
	var jobs []gitlab.Job
	var next string
	err := r.try(ctx, func() (err error) {
		jobs, next, err = r.GitLab.JobsPage(ctx, project.ID, cursor)
		return err
	})
	switch {
	case apierror.IsFinal(err, http.StatusForbidden, http.StatusNotFound):
		return nil, fmt.Errorf("the jobs of %s can't be read: the token's user needs the role Reporter there at least: %w", project.Path, err)
	case err != nil:
		return nil, fmt.Errorf("the jobs of %s can't be read: %w", project.Path, err)
	}
	return newPage(r.GitLab.Instance(), project.ID, r.Now().UTC(), after, jobs, next), nil
}

// try calls a function that sends a request, again while its errors are transient.
func (r Reader) try(ctx context.Context, request func() error) error {
	for n := 1; ; n++ {
		err := request()
		if err == nil || n == maxTries || ctx.Err() != nil || !event.Transient(err) || event.Unavailable(err) {
			return err
		}
		wait := worker.Backoff(err, n)
		r.Say(fmt.Sprintf("goes on in %s: %v", wait.Round(time.Second), err))
		if slept := r.Sleep(ctx, wait); slept != nil {
			return errors.Join(err, slept)
		}
	}
}

// collection gathers the runs of pages that may overlap.
type collection struct {
	byID map[int64]*Pipeline
	seen map[int64]time.Time // runs, and when what there is of them was read
	read map[int64]time.Time // likewise pipelines
	jobs int
}

func (c *collection) add(p *page) {
	if c.byID == nil {
		c.byID, c.seen, c.read = map[int64]*Pipeline{}, map[int64]time.Time{}, map[int64]time.Time{}
	}
	for _, part := range p.Pipelines {
		whole := c.byID[part.ID]
		if whole == nil {
			whole = &Pipeline{}
			c.byID[part.ID] = whole
		}
		if before, twice := c.read[part.ID]; !twice || p.ReadAt.After(before) {
			whole.Pipeline, whole.Commit, c.read[part.ID] = part.Pipeline, part.Commit, p.ReadAt
		}
		for _, run := range part.Runs {
			before, twice := c.seen[run.ID]
			switch {
			case !twice:
				whole.Runs = append(whole.Runs, run)
				c.jobs++
			case p.ReadAt.After(before):
				i := slices.IndexFunc(whole.Runs, func(other Run) bool { return other.ID == run.ID })
				whole.Runs[i] = run
			default:
				continue
			}
			c.seen[run.ID] = p.ReadAt
		}
	}
}

// pipelines returns the pipelines with jobs that were created since then, with the attempts
// of their runs.
func (c *collection) pipelines(from time.Time) []*Pipeline {
	var all []*Pipeline
	for _, p := range slices.SortedFunc(maps.Values(c.byID), func(a, b *Pipeline) int { return cmp.Compare(a.ID, b.ID) }) {
		if !slices.ContainsFunc(p.Runs, func(r Run) bool { return !r.CreatedAt.Before(from) }) {
			continue
		}
		slices.SortFunc(p.Runs, func(a, b Run) int { return cmp.Compare(a.ID, b.ID) })
		attempts := map[string]int{}
		for i := range p.Runs {
			attempts[p.Runs[i].Name]++
			p.Runs[i].Attempt = attempts[p.Runs[i].Name]
		}
		all = append(all, p)
	}
	return all
}
