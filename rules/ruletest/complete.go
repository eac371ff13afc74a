package ruletest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

var testNow = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// clock returns the time at which the event is received.
func (t *Test) clock() time.Time {
	if !t.now.IsZero() {
		return t.now
	}
	latest := time.Time{}
	later := func(times ...time.Time) {
		for _, at := range times {
			if at.After(latest) {
				latest = at
			}
		}
	}
	later(t.hook.Pipeline.CreatedAt, t.hook.Pipeline.FinishedAt)
	for _, j := range slices.Concat(t.hook.Pipeline.Jobs, []event.Job{t.hook.Job}) {
		later(j.CreatedAt, j.StartedAt, j.FinishedAt)
	}
	if latest.IsZero() {
		return testNow
	}
	return latest
}

// complete adds to the event, and to the responses of GitLab, the values that
// GitLab would send and that the test omits. A value that depends on a field
// that the test changed changes with it.
func (t *Test) complete() {
	e, hook := &t.event, &t.hook
	if e.Meta.Kind == event.KindSchedule {
		e.Meta.Source = cmp.Or(e.Meta.Source, event.SourceSchedule)
	}
	e.Meta.Source = cmp.Or(e.Meta.Source, event.SourceWebhook)
	e.Meta.ID = cmp.Or(e.Meta.ID, "test")
	e.Meta.ReceivedAt = t.clock()
	t.completeProject()

	p := &e.Pipeline
	mirrorIfUnset(&p.SHA, &e.Commit.SHA, hook.Pipeline.SHA, hook.Commit.SHA)
	if e.Meta.Kind != event.KindPipeline {
		mirrorIfUnset(&p.Ref, &e.Job.Ref, hook.Pipeline.Ref, hook.Job.Ref)
		mirrorIfUnset(&p.Tag, &e.Job.Tag, hook.Pipeline.Tag, hook.Job.Tag)
		if e.Job.ID != hook.Job.ID {
			e.Job.URL = unlessFromHook(e.Job.URL, hook.Job.URL)
		}
	}
	if p.ID != hook.Pipeline.ID {
		p.URL = unlessFromHook(p.URL, hook.Pipeline.URL)
	}
	p.ID = cmp.Or(p.ID, 1)
	p.Ref = cmp.Or(p.Ref, e.Project.DefaultBranch)
	p.URL = cmp.Or(p.URL, fmt.Sprintf("%s/-/pipelines/%d", e.Project.URL, p.ID))
	t.completeJobs()
	t.completeMergeRequest()
}

// completeMergeRequest completes the response to merge_request_details().
func (t *Test) completeMergeRequest() {
	a := &t.gitlab.mergeRequestDetails
	if !a.given {
		return
	}
	m := &a.value
	if m.IID == 0 {
		_, _ = fmt.Sscanf(t.event.Pipeline.Ref, mergeRequestRefs+"%d/", &m.IID) // 0 for the ref of a branch
	}
	m.State = cmp.Or(m.State, "opened")
	m.URL = cmp.Or(m.URL, fmt.Sprintf("%s/-/merge_requests/%d", t.event.Project.URL, m.IID))
}

func (t *Test) completeProject() {
	e, hook := &t.event, &t.hook
	p := &e.Project
	if p.Path != hook.Project.Path {
		p.Name = unlessFromHook(p.Name, hook.Project.Name)
		p.Namespace = unlessFromHook(p.Namespace, hook.Project.Namespace)
		p.URL = unlessFromHook(p.URL, hook.Project.URL)
	}
	p.ID = cmp.Or(p.ID, 1)
	p.Path = cmp.Or(p.Path, testProject)
	p.Name = cmp.Or(p.Name, path.Base(p.Path))
	if namespace := path.Dir(p.Path); namespace != "." {
		p.Namespace = cmp.Or(p.Namespace, namespace)
	}
	p.DefaultBranch = cmp.Or(p.DefaultBranch, testBranch)
	e.Meta.Instance = cmp.Or(e.Meta.Instance, instanceOf(*p), instanceOf(hook.Project), testInstance)
	p.URL = cmp.Or(p.URL, e.Meta.Instance+"/"+p.Path)
	if old := hook.Project.URL; old != "" {
		urls := []*string{&e.Pipeline.URL, &e.Job.URL, &e.Commit.URL, &e.MergeRequest.URL}
		for i := range e.Pipeline.Jobs {
			urls = append(urls, &e.Pipeline.Jobs[i].URL)
		}
		for _, url := range urls {
			if page, ok := strings.CutPrefix(*url, old+"/"); ok {
				*url = p.URL + "/" + page
			}
		}
	}
}

// instanceOf returns the base URL of a project's GitLab; "" if it is not
// known.
func instanceOf(p event.Project) string {
	instance, ok := strings.CutSuffix(p.URL, "/"+p.Path)
	if !ok {
		return ""
	}
	return instance
}

// unlessFromHook returns a value that the test set, and "" for a value that is
// still the hook's.
func unlessFromHook(value, hook string) string {
	if value == hook {
		return ""
	}
	return value
}

// mirrorIfUnset sets two values that are always equal in GitLab to the one
// that the test set, if it set only one.
func mirrorIfUnset[T comparable](a, b *T, hookA, hookB T) {
	switch {
	case *a != hookA && *b == hookB:
		*b = *a
	case *a == hookA && *b != hookB:
		*a = *b
	}
}

// completeJobs completes all jobs. It sets the ids of all jobs first, so that
// no two jobs have the same id.
func (t *Test) completeJobs() {
	e, g := &t.event, &t.gitlab
	var all []*event.Job
	if e.Meta.Kind != event.KindPipeline {
		all = append(all, &e.Job)
		ofEvent := func(j event.Job) bool { return j.Name == e.Job.Name }
		if g.jobs.given && !slices.ContainsFunc(g.jobs.value, ofEvent) {
			g.jobs.value = slices.Insert(g.jobs.value, 0, e.Job)
		}
	}
	for i := range e.Pipeline.Jobs {
		all = append(all, &e.Pipeline.Jobs[i])
	}
	number := idAllocator{}
	for i := range g.jobs.value {
		all = append(all, &g.jobs.value[i])
	}
	for _, j := range all {
		number.take(j.ID)
	}
	for i := range g.bridges.value {
		number.take(g.bridges.value[i].ID)
		for _, j := range g.bridges.value[i].Downstream.FailedJobs {
			number.take(j.ID)
		}
	}
	for _, j := range append(all, &g.details.value.Job) {
		if j.ID == 0 && j.Name == e.Job.Name && e.Job.ID != 0 {
			j.ID = e.Job.ID // the event's job
		}
		if j.ID == 0 {
			j.ID = number.next()
		}
		t.completeJob(j)
	}
	for i := range g.bridges.value {
		b := &g.bridges.value[i]
		if b.ID == 0 {
			b.ID = number.next()
		}
		if b.Status == "failed" {
			b.FailureReason = cmp.Or(b.FailureReason, "unknown_failure")
		}
		for i := range b.Downstream.FailedJobs {
			j := &b.Downstream.FailedJobs[i]
			if j.ID == 0 {
				j.ID = number.next()
			}
			completeInPipeline(j)
		}
	}
}

func (t *Test) completeJob(j *event.Job) {
	e := &t.event
	if j.Ref == "" || j.Ref == t.hook.Pipeline.Ref {
		j.Ref = e.Pipeline.Ref
	}
	if !j.Tag || t.hook.Pipeline.Tag {
		j.Tag = e.Pipeline.Tag
	}
	j.URL = cmp.Or(j.URL, fmt.Sprintf("%s/-/jobs/%d", e.Project.URL, j.ID))
	completeInPipeline(j)
}

// completeInPipeline completes a job of any pipeline.
func completeInPipeline(j *event.Job) {
	j.Stage = cmp.Or(j.Stage, testStage)
	j.Attempt = max(j.Attempt, 1)
	if j.Status == "failed" {
		j.FailureReason = cmp.Or(j.FailureReason, "unknown_failure")
	} else {
		j.FailureReason = "" // the hook's reason for a job that failed there
	}
	j.FailureClass = event.ClassOf(j.FailureReason)
}

// idAllocator allocates unused ids.
type idAllocator struct {
	taken map[int64]bool
	last  int64
}

func (n *idAllocator) take(id int64) {
	if n.taken == nil {
		n.taken = map[int64]bool{}
	}
	n.taken[id] = true
}

func (n *idAllocator) next() int64 {
	for n.last++; n.taken[n.last]; n.last++ {
		continue
	}
	return n.last
}
