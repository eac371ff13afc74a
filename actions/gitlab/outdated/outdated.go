// Package outdated decides whether a pipeline makes another one redundant, and
// reads as many pipelines as it needs to know that.
package outdated

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Pipelines reads pipelines from GitLab.
type Pipelines interface {
	// Pipeline returns one pipeline.
	Pipeline(ctx context.Context, project, pipeline int64) (event.Pipeline, error)
	// PipelinesOfRef lists a project's pipelines of a ref, newest first, and others
	// with them. Child pipelines are not listed.
	PipelinesOfRef(ctx context.Context, project int64, ref string, pageSize int64) iter.Seq2[event.Pipeline, error]
}

// Sources of pipelines that matter for their age (Enums::Ci::Pipeline.sources).
const (
	sourceSchedule     = "schedule"
	sourceChild        = "parent_pipeline" // a child: GitLab does not list it
	sourceMultiProject = "pipeline"        // triggered by a pipeline of another project
)

// dated is a pipeline with the bounds of its root's id. The root is the first of
// the pipelines that triggered each other. Ids grow over all projects of an
// instance, and a root is older than the pipelines that it triggered, so the
// root's id orders pipelines by age.
type dated struct {
	event.Pipeline
	rootFrom, rootTo int64 // rootFrom is 0 if no lower bound is known
}

// datedListed dates a pipeline of GitLab's list. The list has no children, and
// should it have one all the same, the age of its root is unknown.
func datedListed(p event.Pipeline) dated {
	d := dated{p, p.ID, p.ID}
	if p.Source == sourceMultiProject || p.Source == sourceChild {
		d.rootFrom = 0
	}
	return d
}

// outdates reports whether q makes p redundant: both belong to the same project
// and to exactly the same ref of the same kind, q is of another commit, and the
// root of q is certainly newer than that of p. A scheduled pipeline is outdated
// only by another scheduled one, unless deploys says that a job which deploys is
// concerned. A skipped pipeline (`[skip ci]`) runs nothing in place of another
// one.
func outdates(q, p dated, deploys bool) bool {
	switch {
	case q.SHA == "" || p.SHA == "" || q.SHA == p.SHA:
		return false
	case !sameRef(q.Ref, p.Ref) || q.Tag != p.Tag:
		return false
	case q.Status == "skipped":
		return false
	case p.Source == sourceSchedule && q.Source != sourceSchedule && !deploys:
		return false
	}
	return q.rootFrom > p.rootTo
}

// sameRef reports whether two refs, as the API has them, belong to the same
// branch, tag or merge request: of a merge request, .../head and .../merge do; its
// .../train does not.
func sameRef(a, b string) bool {
	if a == b {
		return true
	}
	iid, kind, ok := MergeRequestRef(a)
	other, otherKind, otherOK := MergeRequestRef(b)
	return ok && otherOK && iid == other && kind != "train" && otherKind != "train"
}

// MergeRequestRef splits refs/merge-requests/<iid>/<kind>; ok is false for any
// other ref.
func MergeRequestRef(ref string) (iid, kind string, ok bool) {
	rest, ok := strings.CutPrefix(ref, "refs/merge-requests/")
	iid, kind, _ = strings.Cut(rest, "/")
	return iid, kind, ok
}

// Bounds on the lists of pipelines that are read to date one.
const (
	maxNewer  = 200 // newer pipelines of the ref
	newerPage = 20  // more than one, since GitLab lists others between them
	maxOlder  = 100 // older ones, each time
	olderPage = 100
)

// By returns the id of a pipeline that makes p redundant, 0 if none does. deploys
// says that a job which has an environment is concerned. p needs its id; the rest
// is read if it is missing. Its Ref may be the source branch of a merge request,
// as Pipeline Hooks have it, if mergeRequest is the iid of that.
func By(ctx context.Context, from Pipelines, project int64, p event.Pipeline, mergeRequest int64, deploys bool) (int64, error) {
	p, err := complete(ctx, from, project, p, mergeRequest)
	if err != nil {
		return 0, err
	}
	root := p.ID // at most
	if up := p.Upstream.PipelineID; up != 0 {
		root = min(root, up)
	}
	var newer []dated
	listed := false
	for q, err := range from.PipelinesOfRef(ctx, project, p.Ref, newerPage) {
		if err != nil {
			return 0, err
		}
		other := datedListed(q)
		if other.ID == p.ID {
			listed, p.Source = true, other.Source
			continue
		}
		if other.ID <= root && (listed || p.Upstream.PipelineID != 0) || len(newer) == maxNewer {
			break
		}
		// A pipeline that is not listed itself is a child. Its parent is of the same
		// commit.
		if other.ID < p.ID && !listed && other.SHA == p.SHA && sameRef(other.Ref, p.Ref) {
			root = other.ID
			break
		}
		newer = append(newer, other)
	}
	this := dated{p, 0, root}
	for _, q := range newer {
		q.Tag = p.Tag // a list does not have it
		if !outdates(q, this, true) {
			continue
		}
		if this.Source == "" {
			full, err := from.Pipeline(ctx, project, p.ID)
			if err != nil {
				return 0, err
			}
			this.Source = full.Source
		}
		if !outdates(q, this, deploys) {
			continue
		}
		same, err := sameKind(ctx, from, project, q.ID, p.Tag)
		if err != nil || same {
			return q.ID, err
		}
	}
	return 0, nil
}

// Older lists the older pipelines that p makes redundant and that have not ended,
// newest first, of the last 100 of its ref. p is as for By. If p was triggered by
// another project's pipeline whose root can't be read, p makes none redundant.
// Children are not listed: they are canceled with their parents.
func Older(ctx context.Context, from Pipelines, project int64, p event.Pipeline, mergeRequest int64) ([]event.Pipeline, error) {
	p, err := complete(ctx, from, project, p, mergeRequest)
	if err != nil {
		return nil, err
	}
	if p.Source == "" {
		full, err := from.Pipeline(ctx, project, p.ID)
		if err != nil {
			return nil, err
		}
		p.Source = full.Source
	}
	this := datedListed(p)
	if p.Source == sourceChild {
		this.rootFrom = 0
	}
	if up := p.Upstream; this.rootFrom == 0 && up.PipelineID != 0 {
		this.rootFrom, err = rootFrom(ctx, from, up)
		if err != nil {
			return nil, err
		}
	}
	var all []event.Pipeline
	read := 0
	for q, err := range from.PipelinesOfRef(ctx, project, p.Ref, olderPage) {
		if err != nil {
			return nil, err
		}
		if read++; read > maxOlder {
			break
		}
		older := datedListed(q)
		older.Tag = p.Tag
		if older.ID == p.ID || !slices.Contains(underWay, older.Status) || !outdates(this, older, false) {
			continue
		}
		same, err := sameKind(ctx, from, project, older.ID, p.Tag)
		if err != nil {
			return nil, err
		}
		if same {
			all = append(all, older.Pipeline)
		}
	}
	return all, nil
}

// underWay are the statuses of pipelines that have jobs which run or may yet run
// by themselves.
var underWay = []string{"created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running", "scheduled"}

// complete returns a pipeline with its commit, and with its ref as the API has
// it. It reads the pipeline if one of them is not known.
func complete(ctx context.Context, from Pipelines, project int64, p event.Pipeline, mergeRequest int64) (event.Pipeline, error) {
	_, _, ofMergeRequest := MergeRequestRef(p.Ref)
	if p.Ref != "" && p.SHA != "" && (mergeRequest == 0 || ofMergeRequest) {
		return p, nil
	}
	full, err := from.Pipeline(ctx, project, p.ID)
	full.Upstream = p.Upstream
	return full, err
}

// sameKind reports whether a listed pipeline is of a tag, or of none. The list
// of a ref has those of a branch and of a tag of that name.
func sameKind(ctx context.Context, from Pipelines, project, pipeline int64, tag bool) (bool, error) {
	p, err := from.Pipeline(ctx, project, pipeline)
	return err == nil && p.Tag == tag, err
}

// rootFrom returns the id of the pipeline that triggered another one, if it is a
// root itself; 0 if that is not known.
func rootFrom(ctx context.Context, from Pipelines, up event.Upstream) (int64, error) {
	parent, err := from.Pipeline(ctx, up.ProjectID, up.PipelineID)
	switch {
	case apierror.IsHidden(err):
		return 0, nil
	case err != nil:
		return 0, err
	case parent.Source == sourceChild || parent.Source == sourceMultiProject:
		return 0, nil
	}
	return parent.ID, nil
}
