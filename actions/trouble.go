package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// While GitLab as a whole can't be used, events and decisions wait without a
// limit in the queue: nothing of that is held against a job. The client of each
// replica finds out by itself (actions/gitlab/health.go). What all replicas share
// is who tells people: the first that sees a trouble queues a record, which
// announces its start, stays while any replica sees the trouble, and announces
// its end.

const (
	// recordTrouble is the kind of that record.
	recordTrouble = "trouble"
	// troubleLook is how often WatchGitLab looks at the client, and troubleAgain
	// how often a replica that sees the trouble says so, and the record is looked
	// at.
	troubleLook  = time.Second
	troubleAgain = 5 * time.Second
	// troubleSilent is how long no replica says that it sees the trouble before it
	// may be over.
	troubleSilent = 3 * troubleAgain
	// tokenLook is how often the access token's scopes and expiry are looked at.
	tokenLook = 24 * time.Hour
	// tokenExpires is how long before its expiry a token is warned of.
	tokenExpires = 14 * 24 * time.Hour
	// troubleClaim is how long a replica that died keeps others from changing what
	// they share.
	troubleClaim = 10 * time.Second
	// waitSoonest and waitLatest bound how long a record waits before it is tried
	// again while GitLab can't be used: a tenth of the time since it can't.
	waitSoonest = time.Second
	waitLatest  = time.Minute
)

// sharedTrouble is the state that the replicas share.
type sharedTrouble struct {
	Kind    gitlab.TroubleKind `json:"kind"`
	Reason  string             `json:"reason"`
	Advice  string             `json:"advice"`
	Started time.Time          `json:"started"`
	Seen    time.Time          `json:"seen,omitzero"` // when a replica last saw it; zero: the last one that did sees it no more
	Over    bool               `json:"over,omitzero"`
}

// troubleRecord is the body of the queue's record.
type troubleRecord struct {
	sharedTrouble
	Told bool `json:"told,omitzero"` // its start
}

// untilUsable gives how long a record waits that GitLab's trouble stopped.
func (r *Runner) untilUsable(err error) time.Duration {
	wait := waitSoonest
	if t, is := r.GitLab.Trouble(); is {
		wait = min(max(waitSoonest, r.Now().Sub(t.Since)/10), waitLatest)
	}
	return max(wait, worker.Backoff(err, 1))
}

// WatchGitLab asks GitLab whether it can be used, at once and, while it can't,
// again and again; it says in the log and to people when that changes, and warns
// of an access token that lacks its scope or expires soon. It ends with ctx.
func (r *Runner) WatchGitLab(ctx context.Context) {
	_, _, _ = r.GitLab.Check(ctx) // CheckGitLab says what it finds
	look, token := time.NewTicker(troubleLook), time.NewTicker(tokenLook)
	defer look.Stop()
	defer token.Stop()
	for checked := false; ; {
		if err := r.CheckGitLab(ctx); err != nil && ctx.Err() == nil {
			r.Log.Debug("the trouble with GitLab could not be noted; again soon", "error", err)
		}
		if !checked {
			checked = r.checkToken(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case <-token.C:
			checked = false
		}
	}
}

// watched is what CheckGitLab saw last.
type watched struct {
	trouble gitlab.Trouble
	is      bool      // there was trouble
	noted   time.Time // when the replicas last heard of it; zero: not yet
}

// CheckGitLab sends the probe if one is due, and says what has changed since the
// last time. An error is of the store: the next time is another try.
func (r *Runner) CheckGitLab(ctx context.Context) error {
	if err := r.GitLab.Probe(ctx); err != nil {
		return err
	}
	now, before := r.Now(), &r.watched
	t, is := r.GitLab.Trouble()
	if is && (!before.is || !before.trouble.Since.Equal(t.Since)) {
		r.Log.Error("GitLab can't be used: all work waits until it can", "trouble", t.Kind, "reason", t.Reason, "advice", t.Advice(), "since", t.Since)
		*before = watched{is: true}
	}
	switch {
	case is:
		before.trouble = t
		if now.Sub(before.noted) < troubleAgain {
			return nil
		}
		if err := r.shareTrouble(ctx, t); err != nil {
			return err
		}
		before.noted = now
	case before.is:
		if err := r.unshareTrouble(ctx); err != nil {
			return err
		}
		r.Log.Info("GitLab can be used again", "after", event.Coarse(now.Sub(before.trouble.Since)).String(), "requests_kept_back", before.trouble.Unsent)
		*before = watched{}
	}
	return nil
}

// sharedNow gives the state that the replicas share; nil: there is none.
func (r *Runner) sharedNow(ctx context.Context) (*sharedTrouble, error) {
	value, err := r.Guard.Get(ctx, keys.Trouble)
	if err != nil || value == nil {
		return nil, err
	}
	s := &sharedTrouble{}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("trouble with GitLab: %w", err)
	}
	return s, nil
}

func (r *Runner) saveShared(ctx context.Context, s sharedTrouble) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return r.Guard.Set(ctx, keys.Trouble, value, remembered)
}

// shareTrouble says that this replica sees the trouble, and begins it where none
// did before.
func (r *Runner) shareTrouble(ctx context.Context, t gitlab.Trouble) error {
	return r.withShared(ctx, func(s *sharedTrouble) error {
		now := r.Now().UTC()
		if s != nil && !s.Over {
			s.Seen = now
			return r.saveShared(ctx, *s)
		}
		begun := sharedTrouble{Kind: t.Kind, Reason: t.Reason, Advice: t.Advice(), Started: now, Seen: now}
		body, err := json.Marshal(troubleRecord{sharedTrouble: begun})
		if err != nil {
			return err
		}
		// The record first: it puts the state there by itself.
		if _, err := r.Queue.Put(ctx, store.Record{ID: keys.TroubleRecord(begun.Started), Kind: recordTrouble, Body: body}); err != nil {
			return err
		}
		return r.saveShared(ctx, begun)
	})
}

// unshareTrouble says that this replica sees the trouble no more. One that still
// does says so again soon.
func (r *Runner) unshareTrouble(ctx context.Context) error {
	return r.withShared(ctx, func(s *sharedTrouble) error {
		if s == nil || s.Over {
			return nil
		}
		s.Seen = time.Time{}
		return r.saveShared(ctx, *s)
	})
}

var errTroubleClaimed = errors.New("another replica changes what is known of the trouble with GitLab: look again")

// withShared changes the shared state while no other replica does; while one
// does, the error is errTroubleClaimed.
func (r *Runner) withShared(ctx context.Context, change func(*sharedTrouble) error) error {
	held, err := store.WithClaim(ctx, r.Guard, keys.Trouble, troubleClaim, func() error {
		s, err := r.sharedNow(ctx)
		if err != nil {
			return err
		}
		return change(s)
	})
	if err == nil && !held {
		return errTroubleClaimed
	}
	return err
}

// trouble announces that GitLab can't be used, and when no replica says so any
// more and this one has asked, that it can again.
func (r *Runner) trouble(ctx context.Context, l *worker.Lease, rec troubleRecord) error {
	if !rec.Told {
		if err := r.tellTrouble(ctx, rec, "start", fmt.Sprintf(
			":warning: *Pipesteward can't use GitLab*: %s. All its work waits, and nothing is lost. What to do: %s.", r.notifier.Escape(rec.Reason), r.notifier.Escape(rec.Advice))); err != nil {
			return err
		}
		rec.Told = true
		if err := errors.Join(l.Keep(rec), l.Extend(ctx)); err != nil {
			return err
		}
	}
	s, err := r.sharedNow(ctx)
	if err != nil {
		return err
	}
	_, is := r.GitLab.Trouble()
	seen := s != nil && s.Started.Equal(rec.Started) && r.Now().Sub(s.Seen) < troubleSilent
	if !is && !seen {
		is = !r.usable(ctx, rec.Kind)
	}
	if is || seen {
		return l.Defer(ctx, troubleAgain)
	}
	if err := r.withShared(ctx, func(s *sharedTrouble) error {
		if s != nil && !s.Started.Equal(rec.Started) {
			return nil
		}
		rec.Over = true
		return r.saveShared(ctx, rec.sharedTrouble)
	}); err != nil {
		return err
	}
	if err := r.tellTrouble(ctx, rec, "end", fmt.Sprintf(
		":white_check_mark: *Pipesteward can use GitLab again*, after %s. What waited goes on now.", event.Coarse(r.Now().Sub(rec.Started)))); err != nil {
		return err
	}
	return l.Done(ctx)
}

// usable asks GitLab whether a kind of trouble is over.
func (r *Runner) usable(ctx context.Context, kind gitlab.TroubleKind) bool {
	if _, is, ok := r.GitLab.Check(ctx); is || !ok {
		return false
	}
	if kind != gitlab.TroubleScope {
		return true
	}
	t, err := r.GitLab.AccessToken(ctx)
	return err == nil && t.May("api") || err != nil && !event.Transient(err) // not told: the next action finds out
}

// tellTrouble announces a text in the channel that the rules name. It returns an
// error while that can be announced later.
func (r *Runner) tellTrouble(ctx context.Context, rec troubleRecord, what, text string) error {
	return r.notifier.Announce(ctx, keys.TroubleRecord(rec.Started)+":"+what, r.Rules().Storm().Channel, text, rec.Started, "trouble", rec.Kind)
}

// checkToken logs what GitLab tells of the access token, and warns of what will
// stop the work. It returns false while GitLab can't be asked.
func (r *Runner) checkToken(ctx context.Context) (done bool) {
	t, err := r.GitLab.AccessToken(ctx)
	if ctx.Err() != nil || event.Transient(err) {
		return false
	}
	if err != nil {
		r.Log.Info("the access token's scopes and expiry are unknown: this GitLab does not tell them", "reason", err)
		return true
	}
	about := []any{"name", t.Name, "scopes", t.Scopes, "expires", "never"}
	left := time.Duration(0)
	if !t.ExpiresAt.IsZero() {
		about[len(about)-1], left = t.ExpiresAt.Format(time.DateOnly), t.ExpiresAt.Sub(r.Now())
	}
	r.Log.Info("the access token is good", about...)
	if !t.May("api") {
		r.Log.Warn("the access token lacks the scope api: GitLab will refuse every action; give a token with that scope", about...)
	}
	if !t.ExpiresAt.IsZero() && left < tokenExpires {
		r.Log.Warn("the access token expires in "+event.Coarse(max(left, 0)).String()+": make a new one, or rotate it, and give it to Pipesteward before", about...)
	}
	return true
}

// GitLabStatus is whether GitLab can be used, as GET /api/v1/status shows it.
type GitLabStatus struct {
	Summary  string             `json:"summary"` // one line for people
	Up       bool               `json:"up"`
	Trouble  gitlab.TroubleKind `json:"trouble,omitzero"`
	Since    time.Time          `json:"since,omitzero"`
	Reason   string             `json:"reason,omitzero"`
	Advice   string             `json:"advice,omitzero"`             // what a person can do
	KeptBack int                `json:"requests_kept_back,omitzero"` // by this process, since then
}

// GitLabStatus returns whether GitLab can be used.
func (r *Runner) GitLabStatus() GitLabStatus {
	t, is := r.GitLab.Trouble()
	if !is {
		return GitLabStatus{Summary: r.GitLab.Instance() + " can be used", Up: true}
	}
	return GitLabStatus{
		Summary: fmt.Sprintf("%s can't be used since %s, and all work waits: %s; %s", r.GitLab.Instance(), t.Since.UTC().Format(time.RFC3339), t.Reason, t.Advice()),
		Trouble: t.Kind, Since: t.Since.UTC(), Reason: t.Reason, Advice: t.Advice(), KeptBack: t.Unsent,
	}
}

// NewGitLabMetrics makes a collector of whether GitLab can be used.
func NewGitLabMetrics(gl *gitlab.Client) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pipesteward_gitlab_up",
		Help: "1 while GitLab can be used; 0 while its token is refused, something else answers, or nothing does.",
	}, func() float64 {
		if _, is := gl.Trouble(); is {
			return 0
		}
		return 1
	})
}
