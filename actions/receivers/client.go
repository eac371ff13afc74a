package receivers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/actions/receivers/secrets"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

const (
	// callFor is how long one message may take by default.
	callFor = 10 * time.Second
	// maxAnswer is how many bytes of an answer are read.
	maxAnswer = 64 << 10
	// maxDetail is how many bytes of what a receiver says stand in an error, and maxCode how
	// many characters of its code.
	maxDetail = 300
	maxCode   = 100
)

// Config is what all receivers need. Now is required.
type Config struct {
	HTTPClient *http.Client   // its redirect policy is replaced; http.DefaultClient by default
	RootCAs    *x509.CertPool // of mail servers; those of the system by default
	Timeout    time.Duration  // of one message; 10 s by default
	Now        func() time.Time
	Log        *slog.Logger // nothing is logged by default
}

// Client sends messages to one receiver. It is safe for concurrent use.
type Client struct {
	definition receiver.Definition
	medium     medium
	config     Config
	http       *http.Client
	values     map[string]*secrets.Secret // of the secret settings
	pace       *rate.Limiter              // nil: there is no limit

	mu    sync.Mutex
	until time.Time // the receiver refuses all messages until then
	hold  time.Duration
}

// New returns the client of a definition, or an error that says which setting is wrong.
// It reads the files of the secrets, and sends nothing.
func New(d receiver.Definition, c Config) (*Client, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		return nil, errors.New("receivers: the config needs Now")
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.Timeout = cmp.Or(c.Timeout, callFor)
	own := *cmp.Or(c.HTTPClient, http.DefaultClient)
	// A redirect would send the message, and with it a token, somewhere else, or turn
	// the POST into a GET that does nothing: it is the answer, and an error.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := &Client{definition: d, medium: media[d.Kind], config: c, http: &own, values: map[string]*secrets.Secret{}}
	if client.medium.burst > 0 {
		client.pace = rate.NewLimiter(rate.Limit(client.medium.perMinute/60), client.medium.burst)
	}
	var errs []error
	for _, setting := range receiver.SecretSettings {
		value, path := setting.Of(d)
		if value == "" && path == "" {
			continue
		}
		s, err := secrets.New(secrets.Setting{
			Name: setting.Name, Value: value, Path: path, Address: setting.Name == receiver.SettingURL, Log: c.Log,
			Check: func(value string) error { return receiver.CheckValue(d.Kind, setting.Name, value) },
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("receiver %q: %w", d.Name, err))
			continue
		}
		client.values[setting.Name] = s
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return client, nil
}

// Name returns the name of the definition.
func (c *Client) Name() string { return c.definition.Name }

// Kind returns the kind of the receiver.
func (c *Client) Kind() string { return c.definition.Kind }

// sending is the sending of one message.
type sending struct {
	*Client
	now    time.Time
	secret map[string]string // the values of the secret settings
}

// Send sends a message; it returns when the receiver has accepted it. A message for which
// there is no place yet in the medium's rate is not sent: the error says when to try
// again.
//
// The error is an [*Error].
func (c *Client) Send(ctx context.Context, m message.Message) error {
	s := &sending{Client: c, now: c.config.Now(), secret: map[string]string{}}
	e := c.check(m)
	if e == nil {
		e = c.wait(s.now)
	}
	if e == nil {
		for name, value := range c.values {
			s.secret[name] = value.Current()
		}
		limit, cancel := context.WithTimeout(ctx, c.config.Timeout)
		defer cancel()
		e = c.medium.send(limit, s, m)
	}
	if e == nil {
		return nil
	}
	if e.limited {
		c.refused(s.now, e.after)
	}
	e.Receiver, e.Kind = c.definition.Name, c.definition.Kind
	e.detail = message.Cut(message.OneLine(c.redact(e.detail)), maxDetail)
	e.Code = message.CutRunes(message.OneLine(c.redact(e.Code)), maxCode)
	return e
}

// redact returns the text without the secrets of the receiver.
func (c *Client) redact(text string, more ...string) string {
	return secrets.Redact(text, slices.Collect(maps.Values(c.values)), more...)
}

// check returns what is wrong with a message, whatever the receiver.
func (*Client) check(m message.Message) *Error {
	b := m.Bounded()
	switch {
	case m.ID == "":
		return final(codeMessage, "the message has no id")
	case b.Title == "" && b.Text == "":
		return final(codeMessage, "the message has neither title nor text")
	}
	return nil
}

// wait takes a place in the medium's rate, or returns how long to wait for one.
func (c *Client) wait(now time.Time) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := min(c.until.Sub(now), c.hold); wait > 0 { // a clock set back delays nothing
		e := limited(codeLimited, wait)
		e.limited, e.advice = false, "the receiver refuses messages for now: sent later"
		return e
	}
	if c.pace == nil {
		return nil
	}
	place := c.pace.ReserveN(now, 1)
	wait := place.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	place.CancelAt(now)
	e := limited(codeLimited, wait)
	e.limited, e.advice = false, "as many messages as the receiver takes were sent: sent later"
	return e
}

// refused notes that the receiver refuses all messages for a while.
func (c *Client) refused(now time.Time, hold time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.hold = now.Add(hold), hold
}

// answer is the answer to a request.
type answer struct {
	status int
	header http.Header
	body   []byte // at most maxAnswer bytes
	at     time.Time
}

// ok reports whether the status is a success.
func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// json decodes the body, and reports whether it could.
func (a answer) json(v any) bool { return json.Unmarshal(a.body, v) == nil }

// post sends a body of JSON.
func (s *sending) post(ctx context.Context, address string, header http.Header, body []byte) (answer, *Error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil { // the error would quote the address
		return answer{}, mendable(codeSettings, "url is no address: copy it again")
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "pipesteward")
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	response, err := s.http.Do(r)
	if err != nil {
		return answer{}, unanswered(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, unanswered(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: text, at: s.now}, nil
}

// encode returns JSON without the escapes that are for HTML only: they count in the
// limits of the media.
func encode(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // only texts, numbers and times are encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// verdict is what a code of an API means.
type verdict func(code string) *Error

// Common verdicts.
func isFinal(advice string) verdict { return func(code string) *Error { return final(code, advice) } }

func isMendable(advice string) verdict {
	return func(code string) *Error { return mendable(code, advice) }
}
func isFailed(code string) *Error { return failed(code, "the receiver failed: sent again later") }

func isLimited(after time.Duration) verdict {
	return func(code string) *Error { return limited(code, after) }
}

// judge returns the error of a code of an API: by its verdict, else as final.
func judge(code, detail string, verdicts map[string]verdict, a answer) *Error {
	e := final(code, "the receiver refuses the message")
	if v, known := verdicts[code]; known {
		e = v(code)
	} else if !a.ok() {
		e = a.failure()
		e.Code = code
	}
	if e.limited {
		if after := a.retryAfter(); after > 0 {
			e.after = min(after, maxAgain)
		}
	}
	e.detail = strings.TrimSpace(detail)
	return e
}

// digest returns an id that is made of the message's: the same for a repetition, and
// without characters that a header or a signature can't have.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}
