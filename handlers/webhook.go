package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

// WebhookPath is where GitLab posts its deliveries.
const WebhookPath = "/webhooks/gitlab"

const (
	// DefaultMaxBody is GitLab's own limit on a delivery's body, in bytes.
	DefaultMaxBody = 25 << 20
	// DefaultPutTimeout leaves GitLab, which waits 10 s, time for the answer.
	DefaultPutTimeout = 2 * time.Second
	// DefaultBodyWait is how long a large body waits for others to be done.
	DefaultBodyWait = 3 * time.Second

	// maxHeader bounds what of a header becomes part of a record's id, in bytes.
	maxHeader = 255
)

// Queue is where events go.
type Queue interface {
	// Put stores the records durably unless their ids were put before, and
	// says for each whether it was new.
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
}

// Wanter knows the rules in force.
type Wanter interface {
	// Wants reports whether any rule can want the event, of which only the
	// kind, the ids and the status are known yet. It is asked once per
	// delivery, so the rules may change.
	Wants(rules.Event) bool
}

// WebhookConfig is what NewWebhook needs.
type WebhookConfig struct {
	Credentials
	Queue     Queue
	Rules     Wanter
	GitLabURL string // the instance of deliveries that don't name theirs
	Now       func() time.Time
	Log       *slog.Logger
	Metrics   prometheus.Registerer // gets pipesteward_deliveries_total
	Known     *Known                // is told of the projects; nil: nobody is

	MaxBody    int64         // of a delivery, in bytes; 0 means DefaultMaxBody
	BodyWait   time.Duration // for the memory that a body takes; 0 means DefaultBodyWait
	PutTimeout time.Duration // for storing an event; 0 means DefaultPutTimeout
}

// Results of a delivery, as the metric has them.
const (
	resultStored       = "stored"
	resultDuplicate    = "duplicate"
	resultIgnored      = "ignored" // no hook of ours, or no rule can want it
	resultUnauthorized = "unauthorized"
	resultMalformed    = "malformed"
	resultTooLarge     = "too_large"
	resultUnavailable  = "unavailable"
	resultPanic        = "panic"
)

// kindOther is the metric's kind of what is, or may be, no hook of ours.
const kindOther = "other"

type webhook struct {
	WebhookConfig
	verifier   *verifier
	deliveries *prometheus.CounterVec
	bodies     *bodies
	foreign    sync.Once // warns of another GitLab's deliveries
}

// NewWebhook gives the handler of GitLab's deliveries: POST /webhooks/gitlab,
// and nothing else. It fails when the configuration would take deliveries of
// anyone, or none.
func NewWebhook(cfg WebhookConfig) (http.Handler, error) {
	v, err := newVerifier(cfg.Credentials, cfg.Now)
	if err != nil {
		return nil, err
	}
	w := &webhook{
		WebhookConfig: cfg,
		verifier:      v,
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_deliveries_total",
			Help: "Webhook deliveries by kind of event and what became of them.",
		}, []string{"kind", "result"}),
	}
	w.GitLabURL = strings.TrimRight(w.GitLabURL, "/")
	if w.MaxBody == 0 {
		w.MaxBody = DefaultMaxBody
	}
	if w.BodyWait == 0 {
		w.BodyWait = DefaultBodyWait
	}
	w.bodies = newBodies(w.MaxBody, w.BodyWait)
	if w.PutTimeout == 0 {
		w.PutTimeout = DefaultPutTimeout
	}
	if err := cfg.Metrics.Register(w.deliveries); err != nil {
		return nil, fmt.Errorf("register the deliveries' metric: %w", err)
	}
	e := newEcho(cfg.Log, func() { w.deliveries.WithLabelValues(kindOther, resultPanic).Inc() })
	e.POST(WebhookPath, w.serve)
	return e, nil
}

// serve takes one delivery. What it answers is what GitLab's page of recent
// deliveries shows, so each refusal says what to do.
func (w *webhook) serve(c echo.Context) error {
	r := c.Request()
	signed := w.verifier.signed(r.Header)
	check := w.verifier.checkToken
	if signed {
		check = w.verifier.checkTimestamp
	}
	if err := check(r.Header); err != nil {
		return w.refuse(c, http.StatusUnauthorized, kindOther, resultUnauthorized, err)
	}

	in, err := w.bodies.read(c, !signed)
	switch {
	case errors.Is(err, errTooLarge):
		return w.refuse(c, http.StatusRequestEntityTooLarge, kindOther, resultTooLarge, err)
	case errors.Is(err, errCrowded):
		return w.refuse(c, http.StatusServiceUnavailable, kindOther, resultUnavailable, err)
	case err != nil:
		return w.refuse(c, http.StatusBadRequest, kindOther, resultMalformed, err)
	}
	defer w.bodies.release(in)
	body := in.buf.Bytes()
	if signed {
		if err := w.verifier.checkSignature(r.Header, body); err != nil {
			return w.refuse(c, http.StatusUnauthorized, kindOther, resultUnauthorized, err)
		}
	}

	event, err := identify(body)
	switch {
	case errors.Is(err, ErrNoInterest):
		return w.accept(c, http.StatusOK, kindOther, resultIgnored)
	case err != nil:
		return w.refuse(c, http.StatusBadRequest, kindOther, resultMalformed, err)
	}
	if w.Known != nil {
		w.Known.Note(event.Project)
	}
	if !w.Rules.Wants(event) {
		return w.accept(c, http.StatusOK, event.Meta.Kind, resultIgnored)
	}
	event, err = complete(event, body, w.instanceOf(r.Header))
	if err != nil {
		return w.refuse(c, http.StatusBadRequest, kindOther, resultMalformed, err)
	}
	event.Meta.Instance = w.GitLabURL
	event.Meta.ID = deliveryID(r.Header, signed, body)
	event.Meta.Source = rules.SourceWebhook
	event.Meta.ReceivedAt = w.Now().UTC()

	added, err := w.put(r.Context(), event)
	switch {
	case err != nil:
		w.Log.Error("event not stored", "event", event.Meta.ID, "project", event.Project.Path, "error", err)
		return w.refuse(c, http.StatusServiceUnavailable, event.Meta.Kind, resultUnavailable, errUnavailable)
	case !added:
		return w.accept(c, http.StatusOK, event.Meta.Kind, resultDuplicate)
	default:
		return w.accept(c, http.StatusAccepted, event.Meta.Kind, resultStored)
	}
}

var errUnavailable = errors.New("the event could not be stored: send it again later")

// put stores the event, and says whether it is new. GitLab sends nothing
// twice by itself, so that an event it hung up on is stored all the same.
func (w *webhook) put(ctx context.Context, event rules.Event) (added bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.PutTimeout)
	defer cancel()
	put, err := w.Queue.Put(ctx, eventRecord(&event))
	if err != nil {
		return false, err
	}
	return put[0], nil
}

func (w *webhook) accept(c echo.Context, code int, kind, result string) error {
	w.deliveries.WithLabelValues(kind, result).Inc()
	return c.JSONBlob(code, []byte(`{"status":"`+result+`"}`)) // costs a tenth of c.JSON
}

func (w *webhook) refuse(c echo.Context, code int, kind, result string, reason error) error {
	w.deliveries.WithLabelValues(kind, result).Inc()
	w.Log.Warn("delivery refused", "code", code, "from", c.RealIP(), "reason", reason)
	return c.JSON(code, answer{Error: reason.Error()})
}

// instanceOf names the GitLab that sent the delivery: the header where it has
// a base URL (old versions send none), else the one that was configured. It
// helps to read the body; the event belongs to the configured GitLab, which
// is the one that will be acted on, because no signature covers the header.
func (w *webhook) instanceOf(h http.Header) string {
	given := strings.TrimRight(h.Get("X-Gitlab-Instance"), "/")
	if given == w.GitLabURL {
		return given
	}
	u, err := url.Parse(given)
	if err != nil || len(given) > maxHeader || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return w.GitLabURL
	}
	w.foreign.Do(func() {
		w.Log.Warn("a delivery names another GitLab than --gitlab-url: if they are not two addresses of one, its webhook must go", "delivery", given, "gitlab_url", w.GitLabURL)
	})
	return given
}

// deliveryID gives the key by which a delivery is known when it comes again.
// GitLab sends the same one in both headers, and keeps it when a delivery is
// resent. A signature covers webhook-id only, so there it stands first: or
// else a delivery could be replayed under a new key.
func deliveryID(h http.Header, signed bool, body []byte) string {
	ids := []string{h.Get("Idempotency-Key"), h.Get(headerID)}
	if signed {
		ids = ids[1:]
	}
	for _, id := range ids {
		if id != "" && len(id) <= maxHeader {
			return id
		}
	}
	return hashOf(body)
}

// keyOr gives a delivery's key, or what stands for one where it has none.
func keyOr(key string, body []byte) string {
	if key == "" || len(key) > maxHeader {
		return hashOf(body)
	}
	return key
}

func hashOf(body []byte) string {
	hash := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(hash[:])
}
