// Package slack tells people in Slack what came of decisions: one message per
// pipeline and channel, edited in place, with each later outcome as a reply in
// its thread. Besides, it makes announcements, each a message of its own.
//
// An outcome is told once, also when the process dies in the middle; so is an
// announcement, which is never edited. Slack takes no idempotency key, so the
// order of steps and a look at the channel make up for it:
//
//	claim ─► look, if a post was left unsure ─► edit ─► claim anew ─► save "about to post" ─► post ─► save "told"
//
// Editing can be repeated freely. A post carries the id of what it tells as
// message metadata; whoever finds an "about to post" that was never followed by
// "told" looks through the channel's history for that id before anything else.
// Where the bot may not read the history (see [Config]), such a post is
// repeated: it may then come twice after a crash, never not at all.
//
// A call that ended without a clear answer may still take effect a little
// later. Its claim is therefore kept until it runs out, so that nobody looks
// too early.
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
	"sync/atomic"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// keepFor is how long it is known what a message says. An outcome of an
	// older pipeline begins a new message.
	keepFor = 30 * 24 * time.Hour
	// claimFor is how long one worker has a message to itself; longer than a
	// call may take with what follows it.
	claimFor = 30 * time.Second
	// callFor is how long one call to Slack may take.
	callFor = 10 * time.Second
	// saveFor is how long the store may take once the process is told to stop.
	saveFor = 5 * time.Second
	// maxAnswer is how many bytes of an answer are read; a page of history is
	// far shorter.
	maxAnswer = 16 << 20
)

// State keeps what is known of the messages, for all replicas; the store's
// guard is one.
type State interface {
	// Get gives the value, or nil when there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set keeps a small value for ttl.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Claim makes owner the holder of key for ttl, if nobody else holds it;
	// a holder that claims again holds it for ttl from now.
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (held bool, err error)
	// Release ends the owner's claim; another's is left alone.
	Release(ctx context.Context, key, owner string) error
}

// Config of a Teller. Token, State and Now are required.
//
// The token needs the scope chat:write (chat:write.public to post where the
// bot was not invited). To tell exactly once after a crash it also needs
// channels:history and, for private channels, groups:history; and where rules
// name channels rather than their ids, channels:read and groups:read.
type Config struct {
	Token      string       // the bot token, xoxb-…
	APIURL     string       // base of the Web API; Slack's by default
	HTTPClient *http.Client // its redirect policy is replaced; http.DefaultClient by default
	State      State
	Now        func() time.Time
	Log        *slog.Logger // by default nothing is logged
}

// Teller tells outcomes and announcements in Slack. It is safe for concurrent use.
type Teller struct {
	session atomic.Pointer[session]
	connect func(token string) *slackapi.Client
	state   State
	now     func() time.Time
	log     *slog.Logger
	blind   sync.Once // says once that the history can't be read
}

// New returns a Teller, or an error that says which part of the config is
// wrong. It does not call Slack.
func New(c Config) (*Teller, error) {
	if c.State == nil || c.Now == nil {
		return nil, errors.New("slack: the config needs State and Now")
	}
	base, err := url.Parse(cmp.Or(c.APIURL, slackapi.APIURL))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, errors.New("slack: --slack-api-url is not an http or https URL, such as " + slackapi.APIURL)
	}
	t := &Teller{
		state: c.State,
		now:   c.Now,
		log:   cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
	}
	client := newBounded(cmp.Or(c.HTTPClient, http.DefaultClient))
	t.connect = func(token string) *slackapi.Client {
		return slackapi.New(token, slackapi.OptionAPIURL(strings.TrimSuffix(base.String(), "/")+"/"), slackapi.OptionHTTPClient(client))
	}
	if err := t.SetToken(c.Token); err != nil {
		return nil, err
	}
	return t, nil
}

// Tell makes the outcome known in the channel: a name, with or without '#',
// or an id. The text is mrkdwn, what it interpolates escaped with [Teller.Escape];
// "" stands for a default text.
//
// The first outcome of a pipeline becomes a message. A later one edits that
// message, and is a reply in its thread. In the message each job has one line,
// which shows the newest outcome of any rule's action on it; a rule that only
// tells has one of its own. An outcome is known by its ID and Result: telling
// it again changes nothing.
//
// The error is an [*Error], which says whether to try again.
func (t *Teller) Tell(ctx context.Context, o event.Outcome, channel, text string) error {
	if o.ID == "" {
		return &Error{Method: "tell", Code: "invalid_outcome", advice: "the outcome has no id"}
	}
	return t.turn(ctx, channel, subject(o), func(w *work) error { return w.tell(ctx, o, text) })
}

// Announce makes the text known in the channel, as a message of its own. The
// channel and the text are as for [Teller.Tell], but the text must not be
// empty. An announcement is known by its key for 30 days: making it again
// changes nothing, whatever the text is then.
//
// The error is an [*Error], which says whether to try again.
func (t *Teller) Announce(ctx context.Context, key, channel, text string) error {
	if key == "" || strings.TrimSpace(text) == "" {
		return &Error{Method: "tell", Code: "invalid_announcement", advice: "it needs a key and a text"}
	}
	id := "announcement:" + key
	return t.turn(ctx, channel, id, func(w *work) error { return w.announce(ctx, id, text) })
}

// subject says what the outcome's message is about: its pipeline, else its
// job, else its rule; of a schedule rule, the run.
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
