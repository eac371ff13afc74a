package main

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// history is GitLab as catch-up reads it, one round at a time.
type history struct {
	gitlab   *gitlab.Client
	attempts map[int64]int        // by id of the job, in the pipeline that was asked for last
	refused  map[string]time.Time // whose webhooks the token may not see, and since when
}

var (
	_ catchup.History = (*history)(nil)
	_ catchup.Hooks   = (*history)(nil)
)

// newHistory gives GitLab by requests that give way to all others.
func newHistory(gl *gitlab.Client) *history {
	return &history{gitlab: gl.Sweeping(), refused: map[string]time.Time{}}
}

func (h *history) Project(ctx context.Context, id int64) (event.Project, error) {
	p, err := h.gitlab.Project(ctx, strconv.FormatInt(id, 10))
	return p.Project, err
}

func (h *history) Jobs(ctx context.Context, project int64, statuses []string) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for job, err := range h.gitlab.ProjectJobs(ctx, project, statuses...) {
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			if !yield(h.gitlab.Event(job, event.SourceCatchUp), nil) {
				return
			}
		}
	}
}

func (h *history) Changed(ctx context.Context, project int64, since time.Time) ([]catchup.ChangedPipeline, error) {
	pipelines, err := h.gitlab.PipelinesSince(ctx, project, since)
	changed := make([]catchup.ChangedPipeline, len(pipelines))
	for i, p := range pipelines {
		changed[i] = catchup.ChangedPipeline{ID: p.ID, Status: p.Status, At: p.UpdatedAt}
	}
	return changed, err
}

func (h *history) Pipeline(ctx context.Context, project, pipeline int64) (event.Event, error) {
	return h.gitlab.PipelineEvent(ctx, project, pipeline, event.SourceCatchUp)
}

// Attempt asks for a pipeline's jobs once for all that come one after the
// other. A job that is not among them is a first run.
func (h *history) Attempt(ctx context.Context, project int64, job event.Job, pipeline int64) (int, error) {
	if _, known := h.attempts[job.ID]; !known {
		jobs, err := h.gitlab.PipelineJobs(ctx, project, pipeline, true)
		if err != nil {
			return 0, err
		}
		h.attempts = map[int64]int{}
		for _, j := range jobs {
			h.attempts[j.ID] = j.Attempt
		}
	}
	return max(h.attempts[job.ID], 1), nil
}

func (h *history) Bridges(ctx context.Context, project, pipeline int64) ([]event.Event, error) {
	return h.gitlab.BridgeEvents(ctx, project, pipeline, event.SourceCatchUp)
}

// Hooks gives the webhooks of the project and of its groups that send job or
// pipeline events to a path like ours. Those that the token may not see are
// none, and are not asked for again for a day.
func (h *history) Hooks(ctx context.Context, p event.Project) ([]catchup.Hook, error) {
	all, err := h.seen(fmt.Sprintf("project %d", p.ID), func() ([]gitlab.Hook, error) { return h.gitlab.ProjectHooks(ctx, p.ID) })
	if err != nil {
		return nil, err
	}
	group := p.Namespace
	for group != "" {
		ofGroup, err := h.seen("group "+group, func() ([]gitlab.Hook, error) { return h.gitlab.GroupHooks(ctx, group) })
		if err != nil {
			return nil, err
		}
		all = append(all, ofGroup...)
		group = group[:max(strings.LastIndex(group, "/"), 0)]
	}
	var ours []catchup.Hook
	for _, hook := range all {
		u, err := url.Parse(hook.URL)
		if err != nil || !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), handlers.WebhookPath) || !hook.JobEvents && !hook.PipelineEvents {
			continue
		}
		ours = append(ours, h.hook(hook))
	}
	return ours, nil
}

// refusedFor is how long webhooks that the token may not see are not asked for.
const refusedFor = 24 * time.Hour

// seen lists webhooks, unless the token may not see them.
func (h *history) seen(owner string, list func() ([]gitlab.Hook, error)) ([]gitlab.Hook, error) {
	since, refused := h.refused[owner]
	if refused && time.Since(since) < refusedFor {
		return nil, nil
	}
	hooks, err := list()
	if gitlab.IsHidden(err) {
		h.refused[owner] = time.Now()
		return nil, nil
	}
	return hooks, err
}

func (h *history) hook(hook gitlab.Hook) catchup.Hook {
	owner := "group " + hook.Group
	if hook.Group == "" {
		owner = fmt.Sprintf("project %d", hook.Project)
	}
	disabled := ""
	if hook.AlertStatus != "" && hook.AlertStatus != "executable" {
		disabled = strings.ReplaceAll(hook.AlertStatus, "_", " ")
	}
	return catchup.Hook{
		Name:     fmt.Sprintf("%s, webhook %d", owner, hook.ID),
		Disabled: disabled,
		Failed: func(ctx context.Context) iter.Seq2[catchup.FailedDelivery, error] {
			return func(yield func(catchup.FailedDelivery, error) bool) {
				for d, err := range h.gitlab.FailedDeliveries(ctx, hook) {
					if !yield(catchup.FailedDelivery{ID: d.ID, At: d.At, Key: d.Key, Body: d.Body}, err) {
						return
					}
				}
			}
		},
	}
}
