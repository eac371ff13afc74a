package catchup

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// hiddenFor is how long webhooks that the token may not see are not requested.
const hiddenFor = 24 * time.Hour

// deliveryList is what a round has read of a webhook's failed deliveries. The
// webhook of a group belongs to many projects.
type deliveryList struct {
	key  string
	last int64 // id of the latest delivery
	// withoutBody is when the first of them failed whose body GitLab did not keep;
	// zero: none did. Its event is looked for in the projects, and until that was
	// done, the delivery counts as not read.
	withoutBody time.Time
	again       bool // a project could not be read: the next round reads the list again
}

// keepLists records up to where the lists were read that had deliveries without a
// body. complete is false if a list is to be read again.
func (r *round) keepLists(ctx context.Context) (complete bool, err error) {
	complete = true
	for _, l := range r.lists {
		switch {
		case l.withoutBody.IsZero(): // replay has recorded it
		case l.again, r.unlisted:
			complete = false
		default:
			if err := r.keep(ctx, l.key, strconv.FormatInt(l.last, 10)); err != nil {
				return false, err
			}
		}
	}
	return complete, nil
}

// withoutBody returns when the first delivery failed that may have been about the
// project and whose body GitLab did not keep; zero: none did.
func (p *projectRound) withoutBody() (first time.Time) {
	for _, l := range p.lists {
		if first.IsZero() || !l.withoutBody.IsZero() && l.withoutBody.Before(first) {
			first = l.withoutBody
		}
	}
	return first
}

// readListsAgain makes the next round read the lists again that have deliveries
// without a body.
func (p *projectRound) readListsAgain() {
	for _, l := range p.lists {
		l.again = true
	}
}

// replayFailed replays the failed deliveries of the project's webhooks, those of
// its groups included, unless the round has done so for another project.
func (p *projectRound) replayFailed(ctx context.Context) error {
	details, err := p.lookUp(ctx)
	if err != nil {
		return err
	}
	hooks, err := p.hooks(ctx, details)
	if err != nil {
		return err
	}
	for _, hook := range hooks {
		name := hook.Name()
		if l := p.round.lists[name]; l != nil {
			p.lists = append(p.lists, l)
			continue
		}
		l := &deliveryList{key: keys.Deliveries(p.GitLab.Instance(), name)}
		p.round.lists[name], p.lists = l, append(p.lists, l)
		if !hook.Sends() && !p.disabled[name] && (p.Watched == nil || !p.Watched(hook, details)) {
			p.Log.WarnContext(ctx, "GitLab has disabled a webhook after failed deliveries: correct their cause, then press Test at the webhook, or run `pipesteward hooks ensure`",
				"webhook", name, "project", p.name(), "reason", strings.ReplaceAll(hook.AlertStatus, "_", " "))
		}
		p.disabled[name] = !hook.Sends()
		if err := p.replay(ctx, hook, l); err != nil {
			l.again = true
			return err
		}
	}
	return nil
}

// hooks lists the webhooks of the project and of its groups that send job or
// pipeline events to a path like this service's. Those that the token may not see
// are left out, and are not requested again for a day.
func (r *round) hooks(ctx context.Context, p event.Project) ([]gitlab.Hook, error) {
	all, err := r.visible(fmt.Sprintf("project %d", p.ID), func() ([]gitlab.Hook, error) { return r.GitLab.ProjectHooks(ctx, p.ID) })
	if err != nil {
		return nil, err
	}
	for group := p.Namespace; group != ""; group = group[:max(strings.LastIndex(group, "/"), 0)] {
		ofGroup, err := r.visible("group "+group, func() ([]gitlab.Hook, error) { return r.GitLab.GroupHooks(ctx, group) })
		if err != nil {
			return nil, err
		}
		all = append(all, ofGroup...)
	}
	return slices.DeleteFunc(all, func(h gitlab.Hook) bool {
		return !h.HasPath(r.WebhookPath) || !h.JobEvents && !h.PipelineEvents
	}), nil
}

// visible lists webhooks; it returns none if the token may not see them.
func (f *Finder) visible(owner string, list func() ([]gitlab.Hook, error)) ([]gitlab.Hook, error) {
	since, hidden := f.hidden[owner]
	if hidden && f.Now().Sub(since) < hiddenFor {
		return nil, nil
	}
	hooks, err := list()
	if apierror.IsHidden(err) {
		f.hidden[owner] = f.Now()
		return nil, nil
	}
	return hooks, err
}

// replay queues what failed at a webhook since its list was last read, the oldest
// first.
func (p *projectRound) replay(ctx context.Context, hook gitlab.Hook, l *deliveryList) error {
	value, err := p.Store.Get(ctx, l.key)
	if err != nil {
		return &storeError{err}
	}
	seen, _ := strconv.ParseInt(string(value), 10, 64) // "" at first
	var failed []gitlab.HookDelivery
	for d, err := range p.GitLab.FailedDeliveries(ctx, hook) {
		if err != nil {
			return err
		}
		if d.ID <= seen {
			break
		}
		failed = append(failed, d)
	}
	withoutBody := 0
	for _, d := range slices.Backward(failed) {
		l.last = d.ID
		if d.Body == nil {
			oldest := p.Now().Add(-p.MaxAge)
			if at := later(d.At, oldest); at.After(oldest) || d.At.IsZero() { // without a time, it may be as old
				withoutBody++
				if l.withoutBody.IsZero() || at.Before(l.withoutBody) {
					l.withoutBody = at
				}
			}
			continue
		}
		if err := p.deliver(ctx, d); err != nil {
			return err
		}
		if withoutBody == 0 {
			if err := p.keep(ctx, l.key, strconv.FormatInt(d.ID, 10)); err != nil {
				return err
			}
		}
	}
	if withoutBody > 0 {
		p.result.WithoutBody += withoutBody
		p.result.problem(hook.Name(), fmt.Errorf("GitLab kept no body of %s: the jobs and pipelines of the known projects are read instead, as they are now; the statuses that they had before are lost", english.Plural(withoutBody, "failed delivery", "failed deliveries")))
	}
	return nil
}

// deliver queues a failed delivery as if it had arrived now.
func (r *round) deliver(ctx context.Context, d gitlab.HookDelivery) error {
	e, err := r.Decode(d)
	if err != nil {
		return nil //nolint:nilerr // another hook, one with a template of its own, or of another GitLab
	}
	at := latestTime(e)
	record := r.record(e, at)
	if !r.Rules().Without(record.Without).Wants(e) {
		return nil
	}
	if oldest, known, err := r.beginning(ctx, e.Project.ID); err != nil || !known || at.Before(oldest) {
		return err
	}
	record.Meta.Source, record.Meta.ReceivedAt = event.SourceReplay, r.Now().UTC()
	if err := r.put(ctx, record, foundReplayed); err != nil || r.DryRun {
		return err
	}
	// The same need not be found in the project as well.
	if err := r.Store.Set(ctx, keys.Reported(e.Meta.Instance, event.StatusOf(e)), []byte(event.AsOf(e).UTC().Format(time.RFC3339)), 2*r.MaxAge); err != nil {
		return &storeError{err}
	}
	return nil
}

// latestTime is the latest time that an event of a webhook has.
func latestTime(e event.Event) time.Time {
	at := e.Pipeline.CreatedAt
	for _, t := range []time.Time{e.Pipeline.FinishedAt, e.Job.CreatedAt, e.Job.StartedAt, e.Job.FinishedAt} {
		at = later(at, t)
	}
	return at
}
