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
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
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

// session is Slack's API with the token in force.
type session struct {
	*slackapi.Client
	hidden []string // the token, and those that were in force before: to keep them out of errors
}

// maxHidden bounds how many tokens are remembered, only to be hidden.
const maxHidden = 10

// SetToken makes the bot token the one of all calls from now on. After an error
// the old one stays.
func (t *Teller) SetToken(token string) error {
	if token == "" {
		return errors.New("slack: no token: set --slack-token to the app's bot token (xoxb-…)")
	}
	if strings.HasPrefix(token, "xapp-") {
		return errors.New("slack: the token is an app-level token (xapp-…): set --slack-token to the app's bot token (xoxb-…)")
	}
	next := &session{Client: t.connect(token), hidden: []string{token}}
	if before := t.session.Load(); before != nil {
		next.hidden = append(next.hidden, before.hidden[:min(len(before.hidden), maxHidden-1)]...)
	}
	t.session.Store(next)
	return nil
}

// api gives Slack's API with the token in force.
func (t *Teller) api() *session { return t.session.Load() }

// bounded is an HTTP client that reads no more than maxAnswer of a body, and
// follows no redirect.
type bounded struct{ client *http.Client }

// newBounded copies the client. Slack's API redirects nothing. Whoever else
// answers there would get the token with a redirected request, in its body
// (307, 308) or in its header; another redirect would turn a post into a GET
// that does nothing. So the redirect is the answer, and that is no success.
func newBounded(client *http.Client) bounded {
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return bounded{&own}
}

// Do sends the request.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	response, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
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

// turn does the work on the message of that subject in the channel while it
// has the message to itself.
func (t *Teller) turn(ctx context.Context, channel, subject string, do func(*work) error) error {
	to := strings.TrimPrefix(strings.TrimSpace(channel), "#")
	if to == "" || strings.ContainsAny(to, " ,\n") {
		return &Error{Method: "tell", Code: "invalid_channel", advice: fmt.Sprintf("%q is not one channel: give a name such as #ci, or a channel id", channel)}
	}
	w := &work{Teller: t, channel: to, key: keys.Message(to, subject), owner: rand.Text()}
	if err := w.hold(ctx); err != nil {
		return err
	}
	err := do(w)
	if e, ok := errors.AsType[*Error](err); ok && e.unsure {
		return err // the claim runs out by itself, when the call has surely ended
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer cancel()
	if err := t.state.Release(ctx, w.claim(), w.owner); err != nil {
		t.log.WarnContext(ctx, "a Slack message stays claimed until its claim runs out", "for", claimFor, "error", err)
	}
	return err
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

// work is one worker's turn at one message.
type work struct {
	*Teller
	channel string // as the caller named it, without '#'
	key     string // of the message's record
	owner   string // of the claim; one for each turn
	loaded  []byte // the record as it was found
}

func (w *work) claim() string { return keys.MessageClaim(w.key) }

// hold claims the message for claimFor from now, anew or once more.
func (w *work) hold(ctx context.Context) error {
	held, err := w.state.Claim(ctx, w.claim(), w.owner, claimFor)
	if err != nil {
		return stateError(err)
	}
	if !held {
		return w.busy()
	}
	return nil
}

// renew claims the message once more before something is done that must not
// be done twice. The claim may have run out meanwhile, and another worker may
// have come and gone; then the record is another.
func (w *work) renew(ctx context.Context) error {
	if err := w.hold(ctx); err != nil {
		return err
	}
	value, err := w.state.Get(ctx, w.key)
	if err != nil {
		return stateError(err)
	}
	if !bytes.Equal(value, w.loaded) {
		return w.busy()
	}
	return nil
}

func (w *work) busy() *Error {
	return &Error{Method: "tell", Channel: w.channel, Code: "busy", advice: "another worker is at this message: tried again later", again: true, after: busyAgain}
}

// tell takes the steps that the package's comment draws.
func (w *work) tell(ctx context.Context, o event.Outcome, text string) error {
	id := o.ID + ":" + o.Result
	m, err := w.begin(ctx, id)
	if err != nil || m.told(id) {
		return err
	}
	if !o.At.Before(m.At) {
		m.At, m.Status = o.At, cmp.Or(o.Pipeline.Status, m.Status)
	}
	n, err := write(o, text, m.Status)
	if err != nil {
		return &Error{Method: "tell", Code: "invalid_outcome", advice: err.Error()}
	}
	lines, older := m.with(n.line)
	if m.TS != "" {
		err := w.update(ctx, m, n.root(lines, older))
		e, failed := errors.AsType[*Error](err)
		switch {
		case failed && e.gone():
			m.TS = "" // someone deleted it: tell all of it in a new one
		case failed && e.Code == "edit_window_closed":
			// The workspace allows no late edits; the thread still tells.
		case failed:
			return err
		}
	}
	m.Posting = &posting{ID: id, Line: n.line, Since: w.now()}
	if m.TS == "" {
		return w.post(ctx, m, n.root(lines, older))
	}
	return w.post(ctx, m, n.reply())
}

// announce takes the same steps for a message that is never edited.
func (w *work) announce(ctx context.Context, id, text string) error {
	m, err := w.begin(ctx, id)
	if err != nil || m.told(id) {
		return err
	}
	m.Posting = &posting{ID: id, Since: w.now()}
	return w.post(ctx, m, announcement(text))
}

// begin gives what is known of the message. What came of the last post is
// settled, and saved if that was the very one.
func (w *work) begin(ctx context.Context, id string) (*record, error) {
	m, err := w.load(ctx)
	if err != nil || m.Posting == nil || m.told(id) {
		return m, err
	}
	if err := w.settle(ctx, m); err != nil || !m.told(id) {
		return m, err
	}
	if err := w.renew(ctx); err != nil {
		return nil, err
	}
	return m, w.save(ctx, m)
}

// settle finds out what came of a post that was never seen to end.
func (w *work) settle(ctx context.Context, m *record) error {
	channel, ts, err := w.find(ctx, m)
	if err != nil {
		return err
	}
	if ts != "" {
		m.posted(channel, ts)
	}
	m.Posting = nil
	return nil
}

// post sends the message that m.Posting announces.
func (w *work) post(ctx context.Context, m *record, b body) error {
	if err := w.renew(ctx); err != nil {
		return err
	}
	if err := w.save(ctx, m); err != nil {
		return err
	}
	options := append(b.options(), slackapi.MsgOptionDisableLinkUnfurl(), slackapi.MsgOptionDisableMediaUnfurl(),
		slackapi.MsgOptionMetadata(slackapi.SlackMetadata{EventType: eventType, EventPayload: map[string]any{payloadID: m.Posting.ID}}))
	if m.TS != "" {
		options = append(options, slackapi.MsgOptionTS(m.TS))
	}
	call, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	channel, ts, err := w.api().PostMessageContext(call, cmp.Or(m.Channel, address(w.channel)), options...)
	if err == nil && ts == "" {
		err = errNoAnswer
	}
	// What Slack did must be saved even if the process is told to stop.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer stop()
	if err != nil {
		e := w.failed("chat.postMessage", err)
		if e.unsure {
			return e
		}
		m.Posting = nil // refused: nothing to look for
		if err := w.save(ctx, m); err != nil {
			w.log.WarnContext(ctx, "a Slack post that was refused will be looked for in vain", "error", err)
		}
		return e
	}
	m.posted(channel, ts)
	return w.save(ctx, m)
}

// update edits the message.
func (w *work) update(ctx context.Context, m *record, b body) error {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	if _, _, _, err := w.api().UpdateMessageContext(ctx, m.Channel, m.TS, b.options()...); err != nil {
		return w.failed("chat.update", err)
	}
	return nil
}

// address is the channel as chat.postMessage wants it.
func address(channel string) string {
	if isID(channel) {
		return channel
	}
	return "#" + channel
}

// isID tells a channel's id from its name: names have no capitals.
func isID(channel string) bool {
	return len(channel) > 8 && strings.IndexByte("CDGUW", channel[0]) >= 0 && channel == strings.ToUpper(channel)
}

func (w *work) load(ctx context.Context) (*record, error) {
	value, err := w.state.Get(ctx, w.key)
	if err != nil {
		return nil, stateError(err)
	}
	w.loaded = value
	m := &record{}
	if value == nil {
		return m, nil
	}
	if err := json.Unmarshal(value, m); err != nil {
		return nil, stateError(fmt.Errorf("what is kept of the message is not JSON: %w", err))
	}
	return m, nil
}

func (w *work) save(ctx context.Context, m *record) error {
	value, err := json.Marshal(m)
	if err != nil {
		return stateError(err)
	}
	if err := w.state.Set(ctx, w.key, value, keepFor); err != nil {
		return stateError(err)
	}
	return nil
}
