package catchup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// round is one look at all projects, under the claim.
type round struct {
	*Finder
	onDemand   bool
	deliveries bool // it reads the lists of failed deliveries
	unnamed    bool // the named projects could not be looked up
	unlisted   bool // the webhooks of a project, which may be those of groups, could not be read
	result     Result

	projects []KnownProject
	byID     map[int64]KnownProject
	inForce  rulesSince
	statuses statuses
	// idSuffix ends the ids of events when a person requests them again.
	idSuffix string
	lists    map[string]*deliveryList // by webhook
	attempts map[int64]int            // by job, of the pipeline that was read last
}

// statuses are those of jobs and pipelines that a rule can want.
type statuses struct {
	jobs, pipelines []string
	bridges         bool
}

// lasting are the statuses in which jobs and pipelines end, and those in which
// they wait for a person: webhooks do not report that jobs do.
var lasting = []string{"success", "failed", "canceled", "skipped", "manual", "scheduled"}

// storeError is an error of the store, which ends a round.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

func newRound(f *Finder, onDemand bool) *round {
	return &round{
		Finder:     f,
		onDemand:   onDemand,
		deliveries: onDemand || f.Now().Sub(f.listed) >= deliveriesEach,
		byID:       map[int64]KnownProject{},
		lists:      map[string]*deliveryList{},
	}
}

func (r *round) run(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	for _, known := range r.projects {
		if err := r.project(ctx, known); err != nil {
			return err
		}
	}
	complete, err := r.keepLists(ctx)
	if err != nil {
		return err
	}
	if r.deliveries && complete && !r.unnamed && !r.unlisted {
		r.listed = r.Now()
	}
	r.lastRound.Set(float64(r.Now().Unix()))
	return nil
}

// begin reads the projects and the rules of the round.
func (r *round) begin(ctx context.Context) (err error) {
	if r.projects, err = r.allProjects(ctx); err != nil {
		return err
	}
	for _, p := range r.projects {
		r.byID[p.ID] = p
	}
	if r.inForce, err = r.rulesSince(ctx, r.onDemand); err != nil {
		return err
	}
	if r.idSuffix, err = r.requestedAgain(ctx); err != nil {
		return err
	}
	r.statuses = r.wanted()
	return nil
}

// allProjects returns the known projects and those that settings name, by id.
func (r *round) allProjects(ctx context.Context) ([]KnownProject, error) {
	if r.deliveries {
		named, problems, err := r.Named(ctx)
		switch {
		case event.Unavailable(err):
			return nil, err
		case err != nil && ctx.Err() == nil:
			r.unnamed = true
			r.result.problem("", fmt.Errorf("the projects to watch could not be looked up: %w", err))
		case err == nil:
			r.named = named
		}
		r.result.Problems = append(r.result.Problems, problems...)
	}
	projects, err := r.Known(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range r.named {
		projects = append(projects, KnownProject{ID: p.ID})
	}
	slices.SortStableFunc(projects, func(a, b KnownProject) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(projects, func(a, b KnownProject) bool { return a.ID == b.ID }), nil
}

// requestedAgain returns what ends the ids of events when a person gives the time
// since when events are queued: these rules evaluate them once, whether or not
// others did, and once more when a decision has failed since. It is "" in other
// rounds.
func (r *round) requestedAgain(ctx context.Context) (string, error) {
	if r.Since.IsZero() {
		return "", nil
	}
	failed, err := r.Store.Get(ctx, keys.LastFailed(r.GitLab.Instance()))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(r.Rules().Identities(), " ")))
	return fmt.Sprintf(":%x:%s", sum[:8], failed), nil
}

// wanted returns the statuses in which a rule can want jobs and pipelines.
func (r *round) wanted() statuses {
	rs := r.Rules()
	w := statuses{bridges: rs.WantsBridges()}
	for _, status := range lasting {
		if rs.Wants(event.Event{Meta: event.Meta{Kind: event.KindJob}, Job: event.Job{Status: status, Attempt: 1}}) {
			w.jobs = append(w.jobs, status)
		}
		if rs.Wants(event.Event{Meta: event.Meta{Kind: event.KindPipeline}, Pipeline: event.Pipeline{Status: status}}) {
			w.pipelines = append(w.pipelines, status)
		}
	}
	return w
}

// project reads one project. The error ends the round; one that concerns the
// project alone becomes a problem of the result.
func (r *round) project(ctx context.Context, known KnownProject) error {
	p := &projectRound{round: r, known: known}
	var err error
	if r.deliveries {
		err = p.replayFailed(ctx)
		r.unlisted = r.unlisted || err != nil && event.Transient(err)
	}
	err = errors.Join(err, p.missed(ctx))
	if err != nil && event.Transient(err) {
		p.readListsAgain()
	}
	var ofStore *storeError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &ofStore), event.Unavailable(err):
		return err
	case err != nil:
		r.result.problem(p.name(), err)
	default:
		r.result.Projects++
	}
	return nil
}

// projectRound is a round in one project.
type projectRound struct {
	*round
	known   KnownProject
	details event.Project   // zero until it is looked up
	lists   []*deliveryList // of the webhooks that send its events
}

// lookUp returns the project, from GitLab the first time.
func (p *projectRound) lookUp(ctx context.Context) (event.Project, error) {
	if p.details.ID == 0 {
		found, err := p.GitLab.Project(ctx, strconv.FormatInt(p.known.ID, 10))
		p.details = found.Project
		if err != nil {
			return p.details, err
		}
	}
	return p.details, nil
}

// name returns the project's path, or its id before it is looked up.
func (p *projectRound) name() string {
	return cmp.Or(p.details.Path, strconv.FormatInt(p.known.ID, 10))
}
