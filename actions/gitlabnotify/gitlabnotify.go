// Package gitlabnotify notifies people in the event's own GitLab, of outcomes: by one note
// on a merge request, which is edited (note.go), and by a commit status that always passes
// (status.go).
//
// There is one note for each merge request, however many replicas write it and wherever
// they die. GitLab has no idempotency key, so the order of the steps and a mark in the
// note replace it:
//
//	claim ─► search for the mark, if no note is recorded ─► renew the claim ─► post or edit ─► record
//
// An edit can be repeated. After a post whose result is unknown nothing is recorded: the
// next worker searches first. It does not search too early, because the claim of such a
// post is kept until it expires. The mark counts only in a note by the token's own user.
//
// Nothing is written to a fork: the note is on the merge request in the project that it
// belongs to, and a pipeline of a fork gets no status.
package gitlabnotify

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/claimed"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// keepFor is how long the record of a note or of a status is stored. After that, a note
	// is found by its mark, and its lines are those of later outcomes.
	keepFor = 30 * 24 * time.Hour
	// claimFor is the time to live of a worker's claim; longer than one request and the
	// steps after it may take.
	claimFor = time.Minute
	// requestFor is how long one request to GitLab may take, its wait for the rate limit
	// included.
	requestFor = 30 * time.Second
	// saveFor is how long the store may take once the process must stop.
	saveFor = 5 * time.Second
)

// Pauses are the pauses in force.
type Pauses interface {
	// Of returns the first pause that stops what a decision does, nil for none.
	Of(ctx context.Context, d event.Decision) (*event.Pause, error)
}

// Config is what a Notifier needs. GitLab, State and Pauses are required.
type Config struct {
	GitLab *gitlab.Client
	State  claimed.State
	Pauses Pauses
	DryRun bool         // of the process: nothing is written
	Log    *slog.Logger // nothing is logged by default
}

// Notifier writes notes and commit statuses. It is safe for concurrent use.
type Notifier struct {
	Config
}

// New returns a Notifier.
func New(c Config) *Notifier {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return &Notifier{c}
}

// Notify tells an outcome on its merge request or in its pipeline, as the channel of the
// notice says. The text of the notice has its values escaped with [Notifier.Escape]. A
// repetition changes nothing, nor does an outcome that is older than what is told already.
//
// The error is an [*Error], which says whether to try again.
func (n *Notifier) Notify(ctx context.Context, o event.Outcome, notice event.Notice) error {
	if err := n.ours(o); err != nil {
		return err
	}
	gl := n.GitLab.Gated(func(ctx context.Context) error { return n.gate(ctx, o.Decision) })
	switch notice.Channel {
	case event.ChannelMergeRequest:
		return n.notifyMergeRequest(ctx, gl, o, notice)
	case event.ChannelCommit:
		return n.notifyCommit(ctx, gl, o, notice)
	}
	return refused(fmt.Sprintf("GitLab has no channel %q", notice.Channel), "write `merge_request: note` or `commit: status`")
}

// Announce refuses: what is announced is of no merge request and of no commit.
func (n *Notifier) Announce(_ context.Context, _, channel, _ string) error {
	return refused("announcements do not go to GitLab's "+channel, "name a channel of Slack in defaults")
}

// ours refuses an outcome of another GitLab than the client's, as a store may have it.
func (n *Notifier) ours(o event.Outcome) error {
	if o.Meta.Instance == n.GitLab.Instance() {
		return nil
	}
	switch foreign, certain := n.GitLab.ForeignAddress(o.Meta.Instance, o.Project.URL, o.Project.Path); {
	case foreign == "":
		return nil
	case certain:
		return refused("the event is from another GitLab, at "+o.Meta.Instance, "if that is another address of the same one, name it with --gitlab-alias")
	}
	return &Error{reason: "GitLab has not said its own address yet, and the event names another one than --gitlab-url", again: true, after: addressAgain}
}

// gate stops a request that is about to change something.
func (n *Notifier) gate(ctx context.Context, d event.Decision) error {
	if n.DryRun {
		return refused("nothing is written to GitLab with --dry-run", "")
	}
	switch paused, err := n.Pauses.Of(ctx, d); {
	case err != nil:
		return stateError(err)
	case paused != nil:
		return &Error{reason: paused.String(), again: true, after: pauseAgain}
	}
	return nil
}

// turn is the time in which one worker has one record claimed.
type turn struct {
	*claimed.Record
	gl *gitlab.Client
}

// turn calls do while this worker has the record of a key claimed.
func (n *Notifier) turn(ctx context.Context, gl *gitlab.Client, key string, do func(*turn) error) error {
	err := claimed.Do(ctx, n.State, claimed.Key{Record: key, Claim: keys.WriteClaim(key), ClaimFor: claimFor, KeepFor: keepFor}, n.Log, func(r *claimed.Record) error {
		return do(&turn{r, gl})
	})
	return ofClaim(err)
}

// renew renews the claim before a request that must not be repeated.
func (w *turn) renew(ctx context.Context) error { return ofClaim(w.Renew(ctx)) }

// save stores the record, even if the process must stop.
func (w *turn) save(ctx context.Context, record any) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer stop()
	return w.Save(ctx, record)
}
