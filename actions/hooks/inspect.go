package hooks

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Reader reads webhooks; a *gitlab.Client implements it.
type Reader interface {
	ProjectHooks(ctx context.Context, project int64) ([]gitlab.Hook, error)
	GroupHooks(ctx context.Context, group string) ([]gitlab.Hook, error)
	// FailedDeliveries lists failed deliveries of the last days, newest first.
	FailedDeliveries(ctx context.Context, h gitlab.Hook) iter.Seq2[gitlab.HookDelivery, error]
	// LastDelivery returns the latest delivery; not ok if there was none.
	LastDelivery(ctx context.Context, h gitlab.Hook) (d gitlab.HookDelivery, ok bool, err error)
}

var _ Reader = (*gitlab.Client)(nil)

// maxFailed is how many failed deliveries of a webhook are counted: one page, since
// each comes with its body.
const maxFailed = 10

// Inspector reads the webhooks of projects and groups, and plans what they need. It
// remembers those of groups, and is for one goroutine.
type Inspector struct {
	gitlab Reader
	wanted *Wanted
	now    func() time.Time
	// everyDelivery reads the deliveries of each webhook; else only those of webhooks
	// whose state says that deliveries failed: four in a row, and none succeeded since.
	everyDelivery bool

	groups       map[string]*groupHooks
	none         *groupHooks // of any group of this GitLab; nil: its groups may have some
	noDeliveries bool        // this GitLab (before 17.3) lists none
}

// groupHooks are the webhooks of a group; err: they are hidden from the token.
type groupHooks struct {
	hooks []gitlab.Hook
	err   error
}

// NewInspector returns an Inspector. everyDelivery makes it read the deliveries of each
// webhook, not only those of webhooks that GitLab had to disable: one or two requests
// more for each project.
func NewInspector(gl Reader, w Wanted, everyDelivery bool, now func() time.Time) *Inspector {
	return &Inspector{gitlab: gl, wanted: &w, everyDelivery: everyDelivery, now: now, groups: map[string]*groupHooks{}}
}

// Project reads a project's webhooks and those of the groups above it, and plans what
// they need. Its errors are GitLab's; apierror.IsHidden: the token may not see them.
func (i *Inspector) Project(ctx context.Context, p event.Project) (Plan, error) {
	found := Found{Owner: Owner{Path: p.Path, Project: p.ID}}
	var err error
	if found.Hooks, err = i.gitlab.ProjectHooks(ctx, p.ID); err != nil {
		return Plan{Found: found}, err
	}
	if found.Above, found.AboveHidden, err = i.above(ctx, p.Path); err != nil {
		return Plan{Found: found}, err
	}
	return i.plan(ctx, found)
}

// Group reads a group's webhooks and those of the groups above it, and plans what they
// need. Its errors are GitLab's; apierror.IsHidden: group webhooks can't be had, because
// this is no group, not GitLab Premium, or the token's user is not Owner.
func (i *Inspector) Group(ctx context.Context, path string) (Plan, error) {
	found := Found{Owner: Owner{Path: path}}
	own, err := i.ofGroup(ctx, path)
	if err != nil {
		return Plan{Found: found}, err
	}
	if own.err != nil {
		return Plan{Found: found}, own.err
	}
	found.Hooks = own.hooks
	if found.Above, found.AboveHidden, err = i.above(ctx, path); err != nil {
		return Plan{Found: found}, err
	}
	return i.plan(ctx, found)
}

// plan reads the deliveries that the plan depends on, and plans.
func (i *Inspector) plan(ctx context.Context, found Found) (Plan, error) {
	p := i.wanted.Plan(found)
	if p.Ours == nil || p.Above != nil || i.noDeliveries || !i.everyDelivery && p.Ours.Sends() && p.Ours.DisabledUntil.IsZero() {
		return p, nil
	}
	d, err := i.deliveries(ctx, *p.Ours)
	switch {
	case isNoRoute(err):
		i.noDeliveries = true
		return p, nil
	case apierror.IsHidden(err): // the webhooks are seen, and their deliveries are not
		return p, nil
	case err != nil:
		return p, err
	}
	found.Deliveries = map[int64]Deliveries{p.Ours.ID: d}
	return i.wanted.Plan(found), nil
}

// deliveries sums up the deliveries of a webhook.
func (i *Inspector) deliveries(ctx context.Context, h gitlab.Hook) (Deliveries, error) {
	var d Deliveries
	var last int64
	yesterday := i.now().Add(-24 * time.Hour)
	for failed, err := range i.gitlab.FailedDeliveries(ctx, h) {
		if err != nil {
			return d, err
		}
		if !failed.At.IsZero() && failed.At.Before(yesterday) {
			break
		}
		if last == 0 {
			last, d.LastStatus, d.LastAt = failed.ID, failed.Status, failed.At
		}
		if d.Failed++; d.Failed == maxFailed { // whether there are more, the next page would tell
			d.More = true
			break
		}
	}
	if last == 0 {
		return d, nil
	}
	latest, ok, err := i.gitlab.LastDelivery(ctx, h)
	d.Failing = ok && latest.ID <= last
	return d, err
}

// above returns our webhook of a group above the path, the nearest one; nil: there is
// none, or it is hidden.
func (i *Inspector) above(ctx context.Context, path string) (nearest *gitlab.Hook, hidden bool, err error) {
	for group := parent(path); group != ""; group = parent(group) {
		of, err := i.ofGroup(ctx, group)
		if err != nil {
			return nil, false, err
		}
		hidden = hidden || of.err != nil && !isNoRoute(of.err)
		for _, h := range of.hooks {
			if i.wanted.place(h) == ours && (h.JobEvents || h.PipelineEvents) {
				return &h, hidden, nil
			}
		}
	}
	return nil, hidden, nil
}

// aboveNow is above, as GitLab has it now.
func (i *Inspector) aboveNow(ctx context.Context, path string) (*gitlab.Hook, error) {
	for group := parent(path); group != ""; group = parent(group) {
		i.forget(group)
	}
	nearest, _, err := i.above(ctx, path)
	return nearest, err
}

// parent returns a path without its last part, "" for none.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }

// ofGroup returns the webhooks of a group, from GitLab the first time.
func (i *Inspector) ofGroup(ctx context.Context, path string) (*groupHooks, error) {
	if i.none != nil {
		return i.none, nil
	}
	if known := i.groups[path]; known != nil {
		return known, nil
	}
	list, err := i.gitlab.GroupHooks(ctx, path)
	if err != nil && !apierror.IsHidden(err) {
		return nil, err
	}
	of := &groupHooks{list, err}
	i.groups[path] = of
	if isNoRoute(err) {
		i.none = of
	}
	return of, nil
}

// forget makes the webhooks of a group be read again, after a change.
func (i *Inspector) forget(group string) { delete(i.groups, group) }

// isNoRoute reports whether GitLab does not know the endpoint at all, as the Community
// Edition answers for webhooks of groups; a group that is not there is "404 Group Not
// Found".
func isNoRoute(err error) bool {
	e, ok := errors.AsType[*apierror.Error](err)
	return ok && e.Final(http.StatusNotFound) && strings.EqualFold(e.Message, "404 Not Found")
}
