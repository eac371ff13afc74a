package hooks

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
)

// rehearsal is a GitLab whose webhooks are read, and changed in memory only. It is for one
// goroutine.
type rehearsal struct {
	GitLab
	hooks map[webhook]gitlab.Hook // as they would be
	// silent is set once a webhook was read of which GitLab does not say whether it has
	// secrets, as those before 19.0.
	silent bool
}

// webhook identifies a webhook; the id 0 is that of the one that would be created.
type webhook struct {
	project int64
	group   string // in lower case
	id      int64
}

func keyOf(h gitlab.Hook) webhook { return webhook{h.Project, strings.ToLower(h.Group), h.ID} }

func (r *rehearsal) ProjectHooks(ctx context.Context, project int64) ([]gitlab.Hook, error) {
	all, err := r.GitLab.ProjectHooks(ctx, project)
	return r.changed(all, gitlab.Hook{Project: project}), err
}

func (r *rehearsal) GroupHooks(ctx context.Context, group string) ([]gitlab.Hook, error) {
	all, err := r.GitLab.GroupHooks(ctx, group)
	return r.changed(all, gitlab.Hook{Group: group}), err
}

// changed returns the webhooks of the project or group of owned as they would be.
func (r *rehearsal) changed(all []gitlab.Hook, owned gitlab.Hook) []gitlab.Hook {
	for i, h := range all {
		r.silent = r.silent || h.HasSigningToken == gitlab.Unknown
		if changed, is := r.hooks[keyOf(h)]; is {
			all[i] = changed
		}
	}
	if created, is := r.hooks[keyOf(owned)]; is {
		all = append(all, created)
	}
	return all
}

func (r *rehearsal) Hook(_ context.Context, h gitlab.Hook) (gitlab.Hook, error) {
	return r.hooks[keyOf(h)], nil
}

func (r *rehearsal) CreateHook(_ context.Context, owned gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error) {
	owned.AlertStatus = gitlab.StatusExecutable
	if !r.silent {
		owned.HasToken, owned.HasSigningToken = gitlab.Absent, gitlab.Absent
	}
	return r.set(owned, s), nil
}

func (r *rehearsal) EditHook(_ context.Context, h gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error) {
	return r.set(h, s), nil
}

// set returns a webhook with other settings, and remembers it.
func (r *rehearsal) set(h gitlab.Hook, s gitlab.HookSettings) gitlab.Hook {
	h.URL = s.URL
	events := map[string]bool{}
	for _, e := range h.Events {
		events[e] = true
	}
	for _, e := range []struct {
		name string
		has  *bool
		set  *bool
	}{{"job", &h.JobEvents, s.JobEvents}, {"pipeline", &h.PipelineEvents, s.PipelineEvents}, {"push", &h.PushEvents, s.PushEvents}} {
		if e.set != nil {
			*e.has, events[e.name] = *e.set, *e.set
		}
	}
	maps.DeleteFunc(events, func(_ string, sent bool) bool { return !sent })
	h.Events = slices.Sorted(maps.Keys(events))
	if s.VerifiesTLS != nil {
		h.VerifiesTLS = *s.VerifiesTLS
	}
	if s.Template != nil {
		h.Template = *s.Template != ""
	}
	if s.BranchFilter != nil {
		h.FiltersBranches = *s.BranchFilter != ""
	}
	if s.Token != "" && h.HasToken != gitlab.Unknown {
		h.HasToken = gitlab.Present
	}
	if s.SigningToken != "" && h.HasSigningToken != gitlab.Unknown {
		h.HasSigningToken = gitlab.Present
	}
	r.hooks[keyOf(h)] = h
	return h
}

func (r *rehearsal) DeleteHook(_ context.Context, h gitlab.Hook) error {
	delete(r.hooks, keyOf(h))
	return nil
}

func (r *rehearsal) TestHook(_ context.Context, h gitlab.Hook) error {
	h.AlertStatus, h.DisabledUntil = gitlab.StatusExecutable, time.Time{}
	r.hooks[keyOf(h)] = h
	return nil
}
