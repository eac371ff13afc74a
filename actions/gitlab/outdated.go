package gitlab

import (
	"context"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Sources of pipelines that GitLab's list and age do not tell by themselves
// (Enums::Ci::Pipeline.sources).
const (
	sourceSchedule     = "schedule"
	sourceChild        = "parent_pipeline" // a child: GitLab does not list it
	sourceMultiProject = "pipeline"        // triggered by a pipeline of another project
)

// dated is a pipeline with what is known of the age of its root: the pipeline
// that stands at the head of those that triggered each other. Ids grow over all
// projects of an instance, and a root is older than what it triggered, so its
// id is between the two bounds.
type dated struct {
	event.Pipeline
	rootFrom, rootTo int64 // rootFrom is 0 where no lower bound is known
}

// datedListed dates a pipeline of GitLab's list. That holds no children, and if
// one does all the same, the age of its root is not known.
func datedListed(p event.Pipeline) dated {
	d := dated{p, p.ID, p.ID}
	if p.Source == sourceMultiProject || p.Source == sourceChild {
		d.rootFrom = 0
	}
	return d
}

// outdates reports whether q makes p redundant: both belong to the same project
// and to exactly the same ref of the same kind, q is of another commit, and the
// root of q is newer than that of p, as far as that is certain. A scheduled
// pipeline is outdated only by another scheduled one, unless it is about a job
// that deploys. A skipped pipeline (`[skip ci]`) runs nothing in place of
// another one.
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

// sameRef reports whether pipelines of the two refs, as the API has them, are of
// one: of a merge request, .../head and .../merge are; its .../train is alone.
func sameRef(a, b string) bool {
	if a == b {
		return true
	}
	iid, kind, ok := mergeRequestRef(a)
	other, otherKind, otherOK := mergeRequestRef(b)
	return ok && otherOK && iid == other && kind != "train" && otherKind != "train"
}

// mergeRequestRef takes refs/merge-requests/<iid>/<kind> apart.
func mergeRequestRef(ref string) (iid, kind string, ok bool) {
	rest, ok := strings.CutPrefix(ref, mergeRequestRefs)
	iid, kind, _ = strings.Cut(rest, "/")
	return iid, kind, ok
}

// Bounds on the lists of pipelines that are read to date one.
const (
	maxNewer = 200 // newer pipelines of the ref that are looked at
	maxOlder = 100 // older ones, each time
)

// OutdatedBy returns the id of a pipeline that makes p redundant, 0 if none
// does. deploys says that it is about a job that has an environment. Of p, the
// id is needed; what else is missing is asked for. Its Ref may be the source
// branch of a merge request, as Pipeline Hooks have it, if mergeRequest is the
// iid of that.
func (c *Client) OutdatedBy(ctx context.Context, project int64, p event.Pipeline, mergeRequest int64, deploys bool) (int64, error) {
	p, err := c.complete(ctx, project, p, mergeRequest)
	if err != nil {
		return 0, err
	}
	root := p.ID // at most
	if up := p.Upstream.PipelineID; up != 0 {
		root = min(root, up)
	}
	var newer []dated
	listed := false
	for q, err := range c.pipelinesOf(ctx, project, p.Ref, refPage) {
		if err != nil {
			return 0, err
		}
		other := datedListed(q.pipeline())
		if other.ID == p.ID {
			listed, p.Source = true, other.Source
			continue
		}
		if other.ID <= root && (listed || p.Upstream.PipelineID != 0) || len(newer) == maxNewer {
			break
		}
		// What is not listed itself is a child. Its parent is of the same commit.
		if other.ID < p.ID && !listed && other.SHA == p.SHA && sameRef(other.Ref, p.Ref) {
			root = other.ID
			break
		}
		newer = append(newer, other)
	}
	this := dated{p, 0, root}
	for _, q := range newer {
		q.Tag = p.Tag // a list does not tell it
		if !outdates(q, this, true) {
			continue
		}
		if this.Source == "" {
			full, err := c.Pipeline(ctx, project, p.ID)
			if err != nil {
				return 0, err
			}
			this.Source = full.Source
		}
		if !outdates(q, this, deploys) {
			continue
		}
		same, err := c.sameKind(ctx, project, q.ID, p.Tag)
		if err != nil || same {
			return q.ID, err
		}
	}
	return 0, nil
}

// complete returns a pipeline with its commit, and with its ref as the API has
// it. It asks GitLab where one of them is not known.
func (c *Client) complete(ctx context.Context, project int64, p event.Pipeline, mergeRequest int64) (event.Pipeline, error) {
	_, _, ofMergeRequest := mergeRequestRef(p.Ref)
	if p.Ref != "" && p.SHA != "" && (mergeRequest == 0 || ofMergeRequest) {
		return p, nil
	}
	full, err := c.Pipeline(ctx, project, p.ID)
	full.Upstream = p.Upstream
	return full, err
}

// sameKind reports whether a listed pipeline is of a tag, or of none. The list
// of a ref holds those of a branch and of a tag of that name.
func (c *Client) sameKind(ctx context.Context, project, pipeline int64, tag bool) (bool, error) {
	p, err := c.Pipeline(ctx, project, pipeline)
	return err == nil && p.Tag == tag, err
}

// Outdated lists the older pipelines that p makes redundant and that have not
// ended, newest first, of the last 100 of its ref. Of what triggered p in
// another project, the root may not be known: then p makes none redundant.
// Children are not listed: they are canceled with their parents.
func (c *Client) Outdated(ctx context.Context, project int64, p event.Pipeline, mergeRequest int64) ([]event.Pipeline, error) {
	p, err := c.complete(ctx, project, p, mergeRequest)
	if err != nil {
		return nil, err
	}
	if p.Source == "" {
		full, err := c.Pipeline(ctx, project, p.ID)
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
		this.rootFrom, err = c.rootFrom(ctx, up)
		if err != nil {
			return nil, err
		}
	}
	var all []event.Pipeline
	looked := 0
	for q, err := range c.pipelinesOf(ctx, project, p.Ref, perPage) {
		if err != nil {
			return nil, err
		}
		if looked++; looked > maxOlder {
			break
		}
		older := datedListed(q.pipeline())
		older.Tag = p.Tag
		if older.ID == p.ID || !slices.Contains(underWay, older.Status) || !outdates(this, older, false) {
			continue
		}
		same, err := c.sameKind(ctx, project, older.ID, p.Tag)
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

// rootFrom returns the id of the pipeline that triggered another one, if it is a
// root itself; 0 where that is not known.
func (c *Client) rootFrom(ctx context.Context, up event.Upstream) (int64, error) {
	parent, err := c.Pipeline(ctx, up.ProjectID, up.PipelineID)
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
