// Package slack notifies people in Slack of outcomes: one message per pipeline
// and channel, edited in place (edit.go), with each later outcome as a reply in its
// thread (post.go). It also posts announcements, each a message of its own.
//
// An outcome is notified once, even if the process dies in the middle; so is an
// announcement, which is never edited. Slack has no idempotency key, so the order
// of the steps and a search of the channel (search.go) replace it:
//
//	claim ─► search, if the result of a post is unknown ─► edit ─► renew the claim ─► record "posting" ─► post ─► record "posted"
//
// Editing can be repeated. A post has the id of its outcome or announcement as
// message metadata; a worker that finds a record "posting" without "posted"
// searches the channel's history for that id first. If the bot may not read the
// history (see [Config]), such a post is repeated: after a crash it may appear
// twice, but is never lost.
//
// A call that ended without a clear answer may still take effect a little later.
// Its claim is therefore kept until it expires, so that no worker searches too
// early.
//
// Besides, it answers people who request something in Slack (reply.go), and reads who they
// are (person.go).
//
// The package has more than 2,000 lines because it is one client: its calls share the token,
// the limits of Slack's methods and the classification of errors.
package slack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/claimed"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// keepFor is how long the record of a message is stored. An outcome of an
	// older pipeline begins a new message.
	keepFor = 30 * 24 * time.Hour
	// claimFor is the time to live of a worker's claim on a message; longer than
	// one call and the steps after it may take.
	claimFor = 30 * time.Second
	// callFor is how long one call to Slack may take.
	callFor = 10 * time.Second
	// saveFor is how long the store may take once the process must stop.
	saveFor = 5 * time.Second
	// maxAnswer is how many bytes of an answer are read; a page of history is
	// far shorter.
	maxAnswer = 16 << 20
)

// State stores the records of the messages for all replicas. The store's guard
// implements it.
type State interface {
	claimed.State
	// Take takes a token from each bucket, one after the other, until one has none. It
	// returns from how many it took, and the time until that one has a token.
	Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error)
}

// Config is what a Notifier needs. Token, State and Now are required.
//
// The token needs the scope chat:write (chat:write.public to post where the
// bot was not invited). To post exactly once after a crash it also needs
// channels:history and, for private channels, groups:history; and if rules name
// channels by name and not by id, channels:read and groups:read. Mentions of people need
// users:read and users:read.email, those of user groups usergroups:read, and direct
// messages im:write.
type Config struct {
	Token      string       // the bot token, xoxb-…
	APIURL     string       // base of the Web API; Slack's by default
	Buttons    bool         // messages have buttons: Slack sends here what people press
	HTTPClient *http.Client // its redirect policy is replaced; http.DefaultClient by default
	State      State
	Now        func() time.Time
	Log        *slog.Logger // nothing is logged by default
}

// Notifier posts outcomes and announcements in Slack. It is safe for concurrent use.
type Notifier struct {
	sessions
	state   State
	now     func() time.Time
	log     *slog.Logger
	buttons bool
	pace    pace
	people  people
	blind   sync.Once // logs once that the history can't be read
}

// New returns a Notifier, or an error that says which part of the config is
// wrong. It does not call Slack.
func New(c Config) (*Notifier, error) {
	if c.State == nil || c.Now == nil {
		return nil, errors.New("slack: the config needs State and Now")
	}
	n := &Notifier{
		state:   c.State,
		now:     c.Now,
		log:     cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
		buttons: c.Buttons,
	}
	if err := n.open(c); err != nil {
		return nil, err
	}
	return n, nil
}

// CheckURL returns what is wrong with the base URL of Slack's API, nil for nothing; "" is
// Slack's own.
func CheckURL(text string) error {
	_, err := parseAPIURL(text)
	return err
}

func parseAPIURL(text string) (base string, err error) {
	text = cmp.Or(text, slackapi.APIURL)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("the URL of Slack's API is no http or https URL: write one such as " + slackapi.APIURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" { // which errors would quote
		return "", errors.New("the URL of Slack's API has a user, a query (?...) or a fragment (#...): leave it out")
	}
	return text, nil
}

// Notify posts the notice of an outcome in its channel. The text of the notice is mrkdwn,
// its values escaped with [Escape].
//
// The first outcome of a pipeline becomes a message. A later one edits that
// message, and is a reply in its thread. In the message each job has one line,
// which shows the newest outcome of any rule's action on it; a rule that only
// notifies has one of its own. The notices of one Subject share a message in the same
// way. The outcome's ID and Result identify it: a repetition changes nothing.
//
// The error is an [*Error], which says whether to try again.
func (n *Notifier) Notify(ctx context.Context, o event.Outcome, notice event.Notice) error {
	if o.ID == "" {
		return &Error{Method: "notify", Code: "invalid_outcome", advice: "the outcome has no id"}
	}
	channel := notice.Channel
	if channel == event.ChannelAuthor {
		var err error
		if channel, err = n.direct(ctx, o); err != nil {
			return err
		}
	}
	return n.turn(ctx, channel, cmp.Or(notice.Subject, subject(o)), func(w *turn) error { return w.notify(ctx, o, notice) })
}

// Announce posts the text in the channel, as a message of its own. The channel and
// the text are as for [Notifier.Notify], but the text must not be empty. The key
// identifies the announcement for 30 days: a repetition changes nothing, even with
// another text.
//
// The error is an [*Error], which says whether to try again.
func (n *Notifier) Announce(ctx context.Context, key, channel, text string) error {
	if key == "" || strings.TrimSpace(text) == "" {
		return &Error{Method: "notify", Code: "invalid_announcement", advice: "it needs a key and a text"}
	}
	id := "announcement:" + key
	return n.turn(ctx, channel, id, func(w *turn) error { return w.announce(ctx, id, "", text) })
}

// subject identifies the message of an outcome: by its pipeline, else by its job,
// else by its rule; of a schedule rule, by the run.
func subject(o event.Outcome) string {
	switch {
	case o.Sweep.ID != "":
		return fmt.Sprintf("%s:%s", o.Meta.Instance, o.Sweep.ID)
	case o.Pipeline.ID != 0:
		return fmt.Sprintf("%s:%d:pipeline:%d", o.Meta.Instance, o.Project.ID, o.Pipeline.ID)
	case o.Job.ID != 0:
		return fmt.Sprintf("%s:%d:job:%d", o.Meta.Instance, o.Project.ID, o.Job.ID)
	case o.Job.Name != "":
		return fmt.Sprintf("%s:%d:job:%s", o.Meta.Instance, o.Project.ID, o.Job.Name)
	}
	return fmt.Sprintf("%s:%d:rule:%s", o.Meta.Instance, o.Project.ID, o.Rule)
}
