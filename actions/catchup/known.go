package catchup

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	knownFor = 365 * 24 * time.Hour // after the first event
	// knownBacklog is how many projects may wait to be recorded; any further one is
	// recorded with one of its next events.
	knownBacklog = 1024
)

// Tallier is the part of the store that Known needs.
type Tallier interface {
	Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (store.Count, error)
	Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error)
}

// Known records the projects that ever sent an event: the last 10,000 that began to,
// each for a year, after which its next event records it again.
type Known struct {
	store Tallier
	log   *slog.Logger
	seen  sync.Map // by id: those that this process has recorded
	queue chan event.Project
}

// NewKnown returns a Known. Run records the projects that Note gets.
func NewKnown(s Tallier, log *slog.Logger) *Known {
	return &Known{store: s, log: log, queue: make(chan event.Project, knownBacklog)}
}

// Note queues a project to be recorded. It costs a map lookup for a project that is,
// and never blocks.
func (k *Known) Note(p event.Project) {
	if _, known := k.seen.LoadOrStore(p.ID, true); known {
		return
	}
	select {
	case k.queue <- p:
	default:
		k.seen.Delete(p.ID)
	}
}

// Run records the projects, until ctx is done.
func (k *Known) Run(ctx context.Context) {
	forget := time.NewTicker(knownFor / 365) // so that they are recorded again after a year
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-forget.C:
			k.seen.Clear()
		case p := <-k.queue:
			if err := k.write(ctx, p); err != nil && ctx.Err() == nil {
				k.seen.Delete(p.ID)
				k.log.WarnContext(ctx, "a project that sent an event could not be recorded; its next event repeats that", "project_id", p.ID, store.Outage(err))
			}
		}
	}
}

func (k *Known) write(ctx context.Context, p event.Project) error {
	_, err := k.store.Tally(ctx, keys.KnownProjects, store.Seen{ID: strconv.FormatInt(p.ID, 10)}, knownFor)
	return err
}

// KnownProject is a project that sent events, and when its first one came.
type KnownProject struct {
	ID    int64
	Since time.Time
}

// Projects lists the known projects.
func (k *Known) Projects(ctx context.Context) ([]KnownProject, error) {
	all, err := k.store.Tallied(ctx, keys.KnownProjects, knownFor)
	if err != nil {
		return nil, err
	}
	var projects []KnownProject
	for _, seen := range all {
		if id, err := strconv.ParseInt(seen.ID, 10, 64); err == nil {
			projects = append(projects, KnownProject{id, seen.At})
		}
	}
	return projects, nil
}
