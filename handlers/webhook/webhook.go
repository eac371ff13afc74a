package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Path is the path to which GitLab posts its deliveries.
const Path = "/webhooks/gitlab"

const (
	// DefaultMaxBody is GitLab's own limit on a delivery's body, in bytes.
	DefaultMaxBody = 25 << 20
	// DefaultPutTimeout leaves time for the response: GitLab waits 10 s.
	DefaultPutTimeout = 2 * time.Second
	// DefaultBodyWait is how long a body waits for capacity.
	DefaultBodyWait = 3 * time.Second

	// maxHeader is the longest header value that becomes part of a record's id, in
	// bytes.
	maxHeader = 255
)

// Queue stores events.
type Queue interface {
	// Put stores the records durably unless their ids were put before, and
	// reports for each whether it is new.
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
}

// Wanter evaluates which events the rules in force can want.
type Wanter interface {
	// Wants reports whether any rule can want the event. Only its kind, ids, names, ref
	// and status are set. It is called for each delivery, because rules may change.
	Wants(event.Event) bool
}

// Noter records the projects that send events.
type Noter interface {
	// Note records a project. It never blocks.
	Note(p event.Project)
}

// GitLab is the one instance whose events are accepted.
type GitLab interface {
	// Instance returns its configured base URL, without a slash at its end.
	Instance() string
	// ForeignAddress returns the base URL of the GitLab that sent a delivery if it
	// is not known as an address of this instance, else "". instance is the
	// delivery's X-Gitlab-Instance header; the others are of its project; each may
	// be empty. certain is false while the instance's own address is not known.
	ForeignAddress(instance, projectURL, projectPath string) (address string, certain bool)
}

// foreignError rejects a delivery of another GitLab.
type foreignError struct{ foreign, own string }

func (e *foreignError) Error() string {
	return fmt.Sprintf("this delivery is from the GitLab at %s, and Pipesteward works for the one at %s: delete this webhook, or, if both are addresses of one GitLab, start Pipesteward with --gitlab-alias %s",
		e.foreign, e.own, e.foreign)
}

// assign sets the event's instance, or returns a *foreignError if another GitLab sent
// its delivery. While that is uncertain, it sets the address that the delivery has,
// and the worker checks it again before anything else.
func assign(e *event.Event, header string, to GitLab) error {
	foreign, certain := to.ForeignAddress(header, e.Project.URL, e.Project.Path)
	switch {
	case foreign == "":
		e.Meta.Instance = to.Instance()
	case certain:
		return &foreignError{foreign, to.Instance()}
	default:
		e.Meta.Instance = foreign
	}
	return nil
}

// Config is what New needs.
type Config struct {
	Credentials
	Queue   Queue
	Rules   Wanter
	GitLab  GitLab
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer // gets pipesteward_deliveries_total
	Tracer  trace.Tracer          // begins the traces of events that are stored; optional
	Known   Noter                 // records the projects that send events; optional
	// Deliveries keeps what became of the deliveries; optional.
	Deliveries Recorder

	MaxBody    int64         // of a delivery, in bytes; 0 means DefaultMaxBody
	BodyWait   time.Duration // for the capacity of a body; 0 means DefaultBodyWait
	PutTimeout time.Duration // for storing an event; 0 means DefaultPutTimeout
}

// kindOther is the metric's kind of deliveries that are not, or may not be, Job or
// Pipeline Hooks.
const kindOther = "other"

// Handler handles GitLab's deliveries: POST /webhooks/gitlab, also with a slash at
// its end, and nothing else.
type Handler struct {
	http.Handler
	webhook *webhook
}

type webhook struct {
	Config
	verifier atomic.Pointer[verifier]
	counts   *prometheus.CounterVec
	bodies   *bodies
	firsts   firsts
	refusals *handlers.Refusals
}

// New returns a Handler. It fails if the credentials would accept deliveries of
// anyone, or none.
func New(cfg Config) (*Handler, error) {
	v, err := newVerifier(cfg.Credentials, cfg.Now)
	if err != nil {
		return nil, err
	}
	w := &webhook{
		Config: cfg,
		firsts: firsts{seen: map[projectKey]struct{}{}}, refusals: handlers.NewRefusals(),
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_deliveries_total",
			Help: "Webhook deliveries by kind of event and result.",
		}, []string{"kind", "result"}),
	}
	if w.MaxBody == 0 {
		w.MaxBody = DefaultMaxBody
	}
	if w.BodyWait == 0 {
		w.BodyWait = DefaultBodyWait
	}
	w.verifier.Store(v)
	w.bodies = newBodies(w.MaxBody, w.BodyWait)
	if w.PutTimeout == 0 {
		w.PutTimeout = DefaultPutTimeout
	}
	if err := cfg.Metrics.Register(w.counts); err != nil {
		return nil, fmt.Errorf("register the deliveries' metric: %w", err)
	}
	e := handlers.NewEcho(cfg.Log, func() { w.counts.WithLabelValues(kindOther, event.DeliveryPanic).Inc() })
	e.POST(Path, w.serve)
	e.POST(Path+"/", w.serve)
	return &Handler{Handler: e, webhook: w}, nil
}

// SetCredentials replaces the credentials. Its error is as that of New; after it, the
// old ones stay in force.
func (w *Handler) SetCredentials(c Credentials) error {
	v, err := newVerifier(c, w.webhook.Now)
	if err != nil {
		return err
	}
	w.webhook.verifier.Store(v)
	return nil
}

// serve handles one delivery. GitLab's page of recent deliveries shows the response,
// so each error names its remedy.
func (w *webhook) serve(c echo.Context) error {
	r := c.Request()
	ctx, d := r.Context(), w.arrived(c)
	defer func() { w.record(ctx, d) }()
	verifier := w.verifier.Load()
	signed := verifier.signed(r.Header)
	d.Event = bounded(keyOf(r.Header, signed), maxHeader)
	check := verifier.checkToken
	if signed {
		check = verifier.checkTimestamp
	}
	if err := check(r.Header); err != nil {
		return w.refuse(c, d, http.StatusUnauthorized, event.DeliveryUnauthorized, err)
	}

	d.Authenticated = !signed || verifier.checkToken(r.Header) == nil
	in, err := w.bodies.read(c, d.Authenticated)
	switch {
	case errors.Is(err, errTooLarge):
		return w.refuse(c, d, http.StatusRequestEntityTooLarge, event.DeliveryTooLarge, err)
	case errors.Is(err, errSlow):
		return w.refuse(c, d, http.StatusInternalServerError, event.DeliverySlow, err)
	case errors.Is(err, errCrowded):
		return w.refuse(c, d, http.StatusInternalServerError, event.DeliveryUnavailable, err)
	case err != nil:
		return w.refuse(c, d, http.StatusBadRequest, event.DeliveryMalformed, err)
	}
	defer w.bodies.release(in)
	body := in.bytes
	if signed {
		if err := verifier.checkSignature(r.Header, body); err != nil {
			return w.refuse(c, d, http.StatusUnauthorized, event.DeliveryUnauthorized, err)
		}
		d.Authenticated = true
		if err := w.bodies.prove(ctx, in); err != nil {
			return w.refuse(c, d, http.StatusInternalServerError, event.DeliveryUnavailable, err)
		}
	}

	e, err := identify(body)
	d.identified(&e, w.GitLab.Instance())
	switch {
	case errors.Is(err, ErrNoInterest):
		return w.accept(c, d, http.StatusOK, kindOther, event.DeliveryIgnored, "neither a Job Hook nor a Pipeline Hook: at the webhook, turn on Job events and Pipeline events, and no custom template")
	case err != nil:
		return w.refuse(c, d, http.StatusBadRequest, event.DeliveryMalformed, err)
	}
	if err := assign(&e, r.Header.Get(headerInstance), w.GitLab); err != nil {
		return w.foreign(c, d, e.Meta.Kind, err)
	}
	if w.Known != nil && e.Project.ID != 0 && e.Meta.Instance == w.GitLab.Instance() {
		w.Known.Note(event.Project{ID: e.Project.ID}) // without texts, which refer to the body
	}
	if !w.Rules.Wants(e) {
		return w.accept(c, d, http.StatusOK, e.Meta.Kind, event.DeliveryIgnored, "no rule can match a "+d.Kind+" that is "+cmp.Or(d.Status, "without a status"))
	}
	e, err = complete(e, body)
	if err != nil {
		return w.refuse(c, d, http.StatusBadRequest, event.DeliveryMalformed, err)
	}
	e.Meta.ID = deliveryID(r.Header, signed, body)
	e.Meta.Source = event.SourceWebhook
	e.Meta.ReceivedAt = w.Now().UTC()
	d.identified(&e, w.GitLab.Instance())

	var span trace.Span
	ctx, span = handlers.BeginSpan(w.Tracer, r, Path, d.At)
	defer func() { end(span, d) }()
	added, err := w.put(ctx, e)
	switch {
	case err != nil:
		w.Log.ErrorContext(ctx, "event not stored: GitLab lists its delivery as failed", "event", e.Meta.ID, "project", e.Project.Path, store.Outage(err))
		return w.answer(c, d, http.StatusInternalServerError, e.Meta.Kind, event.DeliveryUnavailable, errUnavailable)
	case !added:
		return w.accept(c, d, http.StatusOK, e.Meta.Kind, event.DeliveryDuplicate, "this event was delivered before")
	default:
		return w.accept(c, d, http.StatusAccepted, e.Meta.Kind, event.DeliveryStored, "")
	}
}

// end ends the span of a delivery. Only what is put into the queue has one, so that senders
// without a right token or signature cause none. GitLab sends no trace context, and that of
// another sender is ignored.
func end(span trace.Span, d *delivery) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("pipesteward.event.kind", d.Kind), attribute.String("pipesteward.delivery.result", d.Result))
	}
	handlers.EndSpan(span, d.Code, d.Reason)
}

var errUnavailable = errors.New("the event could not be stored: send it again later")

// put stores the event, and reports whether it is new. GitLab does not repeat a
// delivery by itself, so that the event is stored although GitLab closed the
// connection.
func (w *webhook) put(ctx context.Context, e event.Event) (added bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.PutTimeout)
	defer cancel()
	record, err := newRecord(w.GitLab.Instance(), &event.Record{Event: e})
	if err != nil {
		return false, err
	}
	put, err := w.Queue.Put(ctx, record)
	if err != nil {
		return false, err
	}
	return put[0], nil
}

// accept counts a delivery, and responds with its result.
func (w *webhook) accept(c echo.Context, d *delivery, code int, kind, result, reason string) error {
	d.ended(code, result, reason)
	w.counts.WithLabelValues(kind, result).Inc()
	return c.JSONBlob(code, []byte(`{"status":"`+result+`"}`)) // costs a tenth of c.JSON
}

// refuse rejects a delivery, and logs that if not too many were refused just before.
func (w *webhook) refuse(c echo.Context, d *delivery, code int, result string, reason error) error {
	if before, line := w.refusals.Next(w.Now()); line {
		w.Log.WarnContext(c.Request().Context(), "delivery refused", "code", code, "from", d.From, "reason", reason, "unlogged", before)
	}
	return w.answer(c, d, code, kindOther, result, reason)
}

// foreign rejects a delivery of another GitLab. It logs nothing: the GitLab interface
// logs each foreign address once, and such a webhook keeps sending.
func (w *webhook) foreign(c echo.Context, d *delivery, kind string, reason error) error {
	return w.answer(c, d, http.StatusForbidden, kind, event.DeliveryForeign, reason)
}

// answer counts a delivery that is not accepted, and responds with the reason.
func (w *webhook) answer(c echo.Context, d *delivery, code int, kind, result string, reason error) error {
	d.ended(code, result, reason.Error())
	w.counts.WithLabelValues(kind, result).Inc()
	return c.JSON(code, handlers.Response{Error: reason.Error()})
}

// keyOf returns the idempotency key that GitLab gives a delivery, "" without a usable
// one. It sends the same one in both headers, and keeps it when a delivery is resent. A
// signature covers webhook-id only, so that only this counts for a signed delivery:
// otherwise it could be replayed under a new key.
func keyOf(h http.Header, signed bool) string {
	ids := []string{h.Get("Idempotency-Key"), h.Get(headerID)}
	if signed {
		ids = ids[1:]
	}
	for _, id := range ids {
		if id != "" && len(id) <= maxHeader {
			return id
		}
	}
	return ""
}

// deliveryID returns the id of a delivery's event: its idempotency key, or else a hash
// of the body.
func deliveryID(h http.Header, signed bool, body []byte) string {
	if key := keyOf(h, signed); key != "" {
		return key
	}
	return hashOf(body)
}

// Replay returns the event of a delivery that GitLab lists as failed, with the id
// that it would have had if it had arrived. key is its Idempotency-Key, or "" if
// GitLab lists none. Errors are those of Decode, and that another GitLab sent the
// delivery: the list may be restored from another GitLab's backup.
func Replay(body []byte, key string, from GitLab) (event.Event, error) {
	e, err := Decode(body, from.Instance())
	if err != nil {
		return event.Event{}, err
	}
	if err := assign(&e, "", from); err != nil {
		return event.Event{}, err
	}
	e.Meta.ID = key
	if key == "" || len(key) > maxHeader {
		e.Meta.ID = hashOf(body)
	}
	return e, nil
}

func hashOf(body []byte) string {
	hash := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(hash[:])
}

// newRecord returns the queue's record of an event. Its id does not depend on the
// address that the event came from: the same event may come from several.
func newRecord(instance string, e *event.Record) (store.Record, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return store.Record{}, err
	}
	return store.Record{ID: keys.Event(instance, e.Meta.ID), Kind: event.RecordEvent, Body: body}, nil
}
