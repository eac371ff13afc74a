// Package retention decides which jobs an erase keeps.
package retention

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// SizeOf returns the size of the job's log and artifacts, in bytes.
func SizeOf(job gitlab.Job) (size int64) {
	for _, a := range job.Artifacts {
		size += a.Size
	}
	return size
}

// hasArtifacts reports whether the job has artifacts besides its log.
func hasArtifacts(job gitlab.Job) bool {
	return slices.ContainsFunc(job.Artifacts, func(a event.Artifact) bool { return a.FileType != "trace" })
}

// Reasons to keep a job that are problems, which somebody should look at.
const (
	NoFinish = "GitLab does not say when the job finished"
	Archived = "the job is archived, and this GitLab does not erase those"
)

// Keeper decides which jobs of one project an erase keeps. It reads facts that
// many jobs share from GitLab once. It is safe for concurrent use.
type Keeper struct {
	gitlab  *gitlab.Client
	project int64

	mu        sync.Mutex
	kinds     map[string]refKind // of refs
	protected *gitlab.ProtectedRefs
	oldest    map[string]int64 // by ref: the oldest pipeline that is kept
	archived  bool             // GitLab refused to erase an archived job
}

// maxRefs is how many refs a Keeper remembers.
const maxRefs = 10_000

// New returns a Keeper for a project.
func New(gl *gitlab.Client, project int64) *Keeper {
	return &Keeper{gitlab: gl, project: project, kinds: map[string]refKind{}, oldest: map[string]int64{}}
}

// RefusesArchived reports whether the job is archived and GitLab is known not to
// erase such jobs: GitLab before 18.0, after Refused saw a refusal.
func (k *Keeper) RefusesArchived(job gitlab.Job) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return job.Archived && k.archived
}

// Refused notes that GitLab refused to erase a job with the error, and reports
// whether it did because the job is archived.
func (k *Keeper) Refused(job gitlab.Job, err error) bool {
	var e *apierror.Error
	if !job.Archived || !errors.As(err, &e) || !e.Final(http.StatusForbidden) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.archived = true
	return true
}

// refKind is a set of kinds of refs.
type refKind int

const (
	branch refKind = 1 << iota
	tag
)

// Note notes whether the refs of jobs are branches or tags.
func (k *Keeper) Note(jobs []gitlab.Job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kinds) >= maxRefs {
		clear(k.kinds)
	}
	for _, job := range jobs {
		kind := branch
		if job.Tag {
			kind = tag
		}
		k.kinds[job.Ref] |= kind
	}
}

// Keeps returns why an erase keeps a job that has not been erased; "" if the
// erase may erase it. An error is of GitLab.
func (k *Keeper) Keeps(ctx context.Context, job gitlab.Job, a event.Action, now time.Time) (string, error) {
	age, size := now.Sub(job.FinishedAt), SizeOf(job)
	switch {
	case !event.Ended(job.Status):
		return "the job has not ended: it is " + job.Status, nil
	case job.FinishedAt.IsZero():
		return NoFinish, nil
	case age < time.Duration(a.OlderThan):
		return fmt.Sprintf("finished %s ago, and the rule erases after %s", event.Coarse(age), a.OlderThan), nil
	case !a.Artifacts && hasArtifacts(job):
		return "holds artifacts besides its log, and GitLab erases both: `artifacts: true` allows that", nil
	case a.LargerThan > 0 && size <= a.LargerThan:
		return fmt.Sprintf("holds %s, and the rule erases what is larger than %s", inBytes(size), inBytes(a.LargerThan)), nil
	case a.KeepTags && job.Tag:
		return "is a tag's, and the rule keeps those", nil
	}
	if a.KeepProtected {
		protected, err := k.Protects(ctx, job.Ref, job.Tag)
		if err != nil {
			return "", err
		}
		if protected {
			return "its ref is protected, and the rule keeps those", nil
		}
	}
	if a.KeepPipelines > 0 {
		if k.isBoth(job.Ref) {
			return fmt.Sprintf("a branch and a tag are called %s: GitLab does not say which of its pipelines are the newest of either", job.Ref), nil
		}
		oldest, err := k.oldestKept(ctx, job, a.KeepPipelines)
		if err != nil {
			return "", err
		}
		if job.Pipeline.ID >= oldest {
			return fmt.Sprintf("is in one of the newest pipelines of its ref, of which the rule keeps %d", a.KeepPipelines), nil
		}
	}
	return "", nil
}

// isBoth reports whether jobs of a branch and of a tag were noted with the ref.
func (k *Keeper) isBoth(ref string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kinds[ref] == branch|tag
}

// Protects reports whether a ref is protected.
func (k *Keeper) Protects(ctx context.Context, ref string, tag bool) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.protected == nil {
		refs, err := k.gitlab.ProtectedRefs(ctx, k.project)
		if err != nil {
			return false, err
		}
		k.protected = &refs
	}
	return k.protected.Protects(ref, tag), nil
}

// oldestKept returns the oldest of the n newest pipelines of the job's ref; 0 where
// there are fewer, so that all are kept.
func (k *Keeper) oldestKept(ctx context.Context, job gitlab.Job, n int) (int64, error) {
	ref := job.Pipeline.Ref
	if ref == "" {
		ref = job.Ref
	}
	key := fmt.Sprintf("%d %t %s", n, job.Tag, ref)
	k.mu.Lock()
	oldest, known := k.oldest[key]
	k.mu.Unlock()
	if known {
		return oldest, nil
	}
	newest, err := k.gitlab.NewestPipelines(ctx, k.project, ref, n)
	if err != nil {
		return 0, err
	}
	if len(newest) == n {
		oldest = newest[n-1]
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.oldest) == maxRefs {
		clear(k.oldest)
	}
	k.oldest[key] = oldest
	return oldest, nil
}

// inBytes returns a size for people.
func inBytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
