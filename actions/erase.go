package actions

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
	"github.com/pipesteward/pipesteward/rules/event"
)

// observeErase: an erase is called for when the job ended long enough ago
// and holds nothing that the rule wants kept.
func observeErase(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	job, err := r.job(ctx, p)
	if err != nil {
		return nil, err
	}
	switch {
	case !job.ErasedAt.IsZero() && p.Called:
		return erased(p, "seen after the call was cut short"), nil
	case !job.ErasedAt.IsZero():
		return skipped("already erased"), nil
	}
	reason, err := newKeeper(r.GitLab, p.Project.ID).keeps(ctx, job, p.Action, r.GitLab.Now())
	if reason != "" || err != nil {
		return skipped("%s", reason), err
	}
	p.seen = job
	if !p.Called {
		p.Freed = sizeOf(job)
	}
	return nil, nil
}

func actErase(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	_, err := gl.Erase(ctx, p.Project.ID, p.Job.ID)
	if newKeeper(gl, p.Project.ID).refuse(p.seen, err) {
		return skipped(archived), nil
	}
	if err != nil {
		return nil, err
	}
	return erased(p, ""), nil
}

// erased says how much was freed, as it was seen before the call.
func erased(p *pending, reason string) *verdict {
	v := done(0, "%s", reason)
	v.freed = p.Freed
	return v
}

// sizeOf gives the size of the job's log and artifacts, in bytes.
func sizeOf(job gitlab.Job) (size int64) {
	for _, a := range job.Artifacts {
		size += a.Size
	}
	return size
}

func holdsArtifacts(job gitlab.Job) bool {
	return slices.ContainsFunc(job.Artifacts, func(a event.Artifact) bool { return a.FileType != "trace" })
}

// Reasons to keep a job that are problems, which somebody should look at.
const (
	noFinish = "GitLab does not say when the job finished"
	archived = "the job is archived, and this GitLab does not erase those"
)

// keeper knows what of one project an erase keeps. It asks GitLab for what
// is the same for many jobs once.
type keeper struct {
	gitlab  *gitlab.Client
	project int64

	mu        sync.Mutex
	kinds     map[string]refKind // of refs
	protected *gitlab.ProtectedRefs
	oldest    map[string]int64 // by ref: the oldest pipeline that is kept
	archived  bool             // GitLab refused to erase an archived job
}

// maxRefs is how many refs a keeper remembers.
const maxRefs = 10_000

func newKeeper(gl *gitlab.Client, project int64) *keeper {
	return &keeper{gitlab: gl, project: project, kinds: map[string]refKind{}, oldest: map[string]int64{}}
}

// refusesArchived reports whether GitLab is known to erase no archived job:
// before 18.0, and that refused one already. A refusal is learnt by refuse.
func (k *keeper) refusesArchived(job gitlab.Job) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return job.Archived && k.archived
}

// refuse learns from GitLab's refusal to erase a job, and reports whether that
// was because the job is archived.
func (k *keeper) refuse(job gitlab.Job, err error) bool {
	var e *gitlab.Error
	if !job.Archived || !errors.As(err, &e) || !e.Final(http.StatusForbidden) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.archived = true
	return true
}

// refKind says what is called so.
type refKind int

const (
	aBranch refKind = 1 << iota
	aTag
)

// note takes note of what the refs of jobs are.
func (k *keeper) note(jobs []gitlab.Job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kinds) >= maxRefs {
		clear(k.kinds)
	}
	for _, job := range jobs {
		kind := aBranch
		if job.Tag {
			kind = aTag
		}
		k.kinds[job.Ref] |= kind
	}
}

// keeps says why an erase leaves a job alone that has not been erased; "" if
// it does not.
func (k *keeper) keeps(ctx context.Context, job gitlab.Job, a event.Action, now time.Time) (string, error) {
	age, size := now.Sub(job.FinishedAt), sizeOf(job)
	switch {
	case !ended(job.Status):
		return "the job has not ended: it is " + job.Status, nil
	case job.FinishedAt.IsZero():
		return noFinish, nil
	case age < time.Duration(a.OlderThan):
		return fmt.Sprintf("finished %s ago, and the rule erases after %s", event.Coarse(age), a.OlderThan), nil
	case !a.Artifacts && holdsArtifacts(job):
		return "holds artifacts besides its log, and GitLab erases both: `artifacts: true` allows that", nil
	case a.LargerThan > 0 && size <= a.LargerThan:
		return fmt.Sprintf("holds %s, and the rule erases what is larger than %s", inBytes(size), inBytes(a.LargerThan)), nil
	case a.KeepTags && job.Tag:
		return "is a tag's, and the rule keeps those", nil
	}
	if a.KeepProtected {
		protected, err := k.protects(ctx, job.Ref, job.Tag)
		if err != nil {
			return "", err
		}
		if protected {
			return "its ref is protected, and the rule keeps those", nil
		}
	}
	if a.KeepPipelines > 0 {
		if k.isBoth(job.Ref) {
			return fmt.Sprintf("a branch and a tag are called %s: GitLab does not tell which of its pipelines are the newest of either", job.Ref), nil
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

// isBoth reports whether jobs of a branch and of a tag were noted for the ref.
func (k *keeper) isBoth(ref string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kinds[ref] == aBranch|aTag
}

// protects reports whether a ref is protected.
func (k *keeper) protects(ctx context.Context, ref string, tag bool) (bool, error) {
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

// oldestKept gives the oldest pipeline of the job's ref that is among the n
// newest. Where there are fewer, all are kept.
func (k *keeper) oldestKept(ctx context.Context, job gitlab.Job, n int) (int64, error) {
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

// inBytes words a size.
func inBytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
