package hooks

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// keepEvery is the time between two rounds, and retryEvery that after one that failed.
	keepEvery  = time.Hour
	retryEvery = time.Minute
	// lookEvery is how often a replica looks whether a round is due: by then it knows of
	// the last one of any replica, and of the end of a pause.
	lookEvery = 2 * time.Second
	// claimTTL is how long a replica that died keeps others from a round.
	claimTTL = 2 * time.Minute
)

// Store is the state that replicas share, and the queue of announcements.
type Store interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
}

// KeeperConfig configures a Keeper. All fields are required.
type KeeperConfig struct {
	GitLab   GitLab // its requests should yield to all others
	Instance string // base URL of GitLab
	Store    Store
	Wanted   Wanted
	// DryRun keeps this process from changing anything.
	DryRun bool
	// Held returns the pause for which nothing may be changed now of a project or a group;
	// "": it may be. Dead webhooks are announced nevertheless. An error is the store's.
	Held func(ctx context.Context, owner string) (reason string, err error)
	// Named are the projects, globs and groups whose webhooks are created and repaired.
	// Without any, Known returns the ids of projects that sent events: theirs are repaired.
	Named   []string
	Known   func(ctx context.Context) ([]string, error)
	Resolve func(ctx context.Context, entries []string) ([]gitlab.Project, []event.SweepProblem, error)
	Listed  *Listed // keeps what each round saw
	Now     func() time.Time
	Log     *slog.Logger
}

// Keeper ensures the webhooks again each hour, on one replica at a time, and announces
// which of them were found dead.
type Keeper struct {
	KeeperConfig
	owner  string     // of the claim
	turn   sync.Mutex // held by the round that this process makes
	wanted atomic.Pointer[Wanted]
	logged map[string]bool // problems that were logged in the last round
}

// NewKeeper returns a Keeper.
func NewKeeper(c KeeperConfig) *Keeper {
	k := &Keeper{KeeperConfig: c, owner: rand.Text(), logged: map[string]bool{}}
	k.wanted.Store(&c.Wanted)
	return k
}

// SetWanted replaces the webhook that is wanted, from the next round on. Webhooks that
// are right otherwise keep their secrets.
func (k *Keeper) SetWanted(w Wanted) { k.wanted.Store(&w) }

// Watches reports whether the rounds look at a webhook that sends the events of a project,
// so that its death is announced by them.
func (k *Keeper) Watches(h gitlab.Hook, p event.Project) bool {
	switch {
	case k.wanted.Load().place(h) != ours:
		return false
	case len(k.Named) == 0: // the known projects' own
		return h.Project != 0
	}
	return slices.ContainsFunc(k.Named, func(entry string) bool {
		if h.Project == 0 {
			return strings.EqualFold(entry, h.Group)
		}
		return names(entry, p)
	})
}

// names reports whether an entry of --projects names a project: by its id, its path, a glob
// or a group above it.
func names(entry string, p event.Project) bool {
	if id, isID := rules.ProjectID(entry); isID {
		return id == p.ID
	}
	entry, path := strings.ToLower(entry), strings.ToLower(p.Path)
	if rules.IsGlob(entry) {
		return doublestar.MatchUnvalidated(entry, path)
	}
	return path == entry || strings.HasPrefix(path, entry+"/")
}

// Run makes a round at once, and then each one that is due, until ctx is done. A round
// that failed is repeated soon.
func (k *Keeper) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		due, err := k.Due(ctx)
		if err == nil && (first || due <= 0) {
			if err = k.listedRound(ctx); err == nil || errors.Is(err, ErrRunning) {
				first, err = false, nil
			}
		}
		wait := lookEvery
		if err != nil {
			k.logFailed(ctx, err)
			wait = retryEvery
		}
		timer.Reset(wait)
	}
}

// logFailed logs why a round failed.
func (k *Keeper) logFailed(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case event.Unavailable(err): // the worker logs it
		k.Log.InfoContext(ctx, "webhooks are looked at when GitLab is available", "reason", err)
	default:
		k.Log.ErrorContext(ctx, "the webhooks could not be looked at; it is tried again soon", store.Outage(err))
	}
}

// kept is what replicas know of the last round.
type kept struct {
	At time.Time `json:"at"`
	// Held are the pauses that it met, each with the first project or group for which
	// something was left undone.
	Held []held `json:"held,omitempty"`
}

type held struct {
	Owner string `json:"owner"`
	Pause string `json:"pause"`
}

// Due returns how long it takes until the next round is due: an hour after the last one of
// any replica, or now, if a pause has ended that kept that one from a change. An error is
// the store's.
func (k *Keeper) Due(ctx context.Context) (time.Duration, error) {
	last, err := k.last(ctx)
	if err != nil {
		return 0, err
	}
	if !k.DryRun {
		for _, h := range last.Held {
			if now, err := k.Held(ctx, h.Owner); err != nil || now != h.Pause {
				return 0, err
			}
		}
	}
	return max(0, min(last.At.Add(keepEvery).Sub(k.Now()), keepEvery)), nil
}

// last returns what is known of the last round; zero: there was none.
func (k *Keeper) last(ctx context.Context) (last kept, err error) {
	value, err := k.Store.Get(ctx, keys.WebhooksKept(k.Instance))
	if err != nil || json.Unmarshal(value, &last) != nil {
		return kept{}, err
	}
	return last, nil
}

// ErrRunning means that another replica makes a round.
var ErrRunning = errors.New("another process looks at the webhooks")

// Round ensures the webhooks once. An error is ErrRunning, ctx's, the store's, or that
// GitLab is unavailable.
func (k *Keeper) Round(ctx context.Context) (Result, error) {
	if !k.turn.TryLock() {
		return Result{}, ErrRunning
	}
	defer k.turn.Unlock()
	claimed, release, err := store.HoldClaim(ctx, k.Store, keys.Webhooks, k.owner, claimTTL)
	if err != nil {
		return Result{}, err
	}
	if release == nil {
		return Result{}, ErrRunning
	}
	defer release()
	result, err := k.round(claimed)
	if claimed.Err() != nil && ctx.Err() == nil {
		err = ErrRunning // another replica has taken over
	}
	return result, err
}

func (k *Keeper) round(ctx context.Context) (Result, error) {
	wanted := *k.wanted.Load()
	entries, err := k.entries(ctx, &wanted)
	if err != nil {
		return Result{}, err
	}
	last, err := k.last(ctx)
	if err != nil {
		return Result{}, err
	}
	// What one process does not do in its dry run is none of what another one left undone.
	var holds []held
	mayNot := k.Held
	if k.DryRun {
		holds, mayNot = last.Held, func(context.Context, string) (string, error) { return "dry run", nil }
	}
	var seen []sighting
	problems := map[string]bool{}
	e := Ensurer{
		GitLab: k.GitLab, Wanted: wanted, Change: true, Held: mayNot, Resolve: k.Resolve, Now: k.Now,
		Watch: func(s Step) {
			k.log(s, problems)
			if s.Held != "" && !k.DryRun && !slices.ContainsFunc(holds, func(h held) bool { return h.Pause == s.Held }) {
				holds = append(holds, held{Owner: s.Before.Owner.Path, Pause: s.Held})
			}
			if h := s.Before.Ours; h != nil && s.Before.Above == nil {
				seen = append(seen, sighting{Name: s.Before.Owner.String(), ID: h.Name(), Dead: !h.Sends(), Now: s.Report, Held: s.Held})
			}
		},
	}
	result, err := e.Run(ctx, entries)
	for _, note := range result.Notes {
		if problems[note] = true; !k.logged[note] {
			k.Log.InfoContext(ctx, "webhooks of a group", "reason", note)
		}
	}
	for _, p := range result.Problems {
		k.warnOnce(p.Project, p.Reason, problems)
	}
	if err := errors.Join(err, k.announce(ctx, seen)); err != nil {
		return result, err
	}
	k.logged = problems
	value, err := json.Marshal(kept{At: k.Now().UTC(), Held: holds})
	if err != nil {
		return result, err
	}
	return result, k.Store.Set(ctx, keys.WebhooksKept(k.Instance), value, 2*keepEvery)
}

// entries returns what names the projects and groups whose webhooks are looked at. None is
// created of those that are only known.
func (c *KeeperConfig) entries(ctx context.Context, wanted *Wanted) ([]string, error) {
	if len(c.Named) > 0 {
		return c.Named, nil
	}
	wanted.KeepOnly = true
	return c.Known(ctx)
}

// log logs what was done about one owner, and once what is left wrong.
func (k *Keeper) log(s Step, problems map[string]bool) {
	r := s.Report
	for _, done := range r.Done {
		k.Log.Info("a webhook was changed", "owner", r.Owner, "change", done)
	}
	switch {
	case r.Error != "":
		k.warnOnce(r.Owner, r.Error, problems)
	case s.Held != "":
		k.warnOnce(r.Owner, fmt.Sprintf("not changed (%s): %s", s.Held, strings.Join(r.Todo, "; ")), problems)
	case r.IsWrong():
		for _, finding := range r.Findings {
			k.warnOnce(r.Owner, finding, problems)
		}
	}
}

// warnOnce logs a problem that the round before did not have.
func (k *Keeper) warnOnce(owner, problem string, problems map[string]bool) {
	key := owner + ": " + problem
	if problems[key] = true; !k.logged[key] {
		k.Log.Warn("a webhook needs attention", "owner", owner, "reason", problem)
	}
}
