// Package slackapp takes in what people request in Slack: presses of buttons, and the slash
// command. Each becomes a chatops.Request, which is stored in the queue before Slack is
// answered; a worker carries it out. Nothing is decided here, not even who may request what.
//
// Slack sends requests in one of two ways, which give the same records: it posts them,
// signed (New, signature.go), or sends them over a connection that Pipesteward opens
// (NewSocket, socket.go). However often a request comes, by whichever way and to whichever
// replica, it is one record: its id is derived from Slack's trigger_id.
package slackapp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Prefix begins the paths to which Slack posts requests.
const Prefix = "/slack/"

// The paths to which Slack posts requests.
const (
	InteractionsPath = Prefix + "interactions"
	CommandsPath     = Prefix + "commands"
)

// DefaultPutTimeout leaves time for the response: Slack waits 3 s.
const DefaultPutTimeout = 2 * time.Second

// Queue stores requests.
type Queue interface {
	// Put stores the records durably unless their ids were put before, and reports for
	// each whether it is new.
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
}

// Config is what both ways in need.
type Config struct {
	Queue      Queue
	Now        func() time.Time
	Log        *slog.Logger
	Tracer     trace.Tracer  // begins the traces of requests that are stored; optional
	PutTimeout time.Duration // for storing a request; 0 means DefaultPutTimeout
	BodyWait   time.Duration // for the body of one that is posted; 0 means DefaultBodyWait
}

// put stores requests. Slack does not repeat a request by itself, so that it is stored
// although Slack closed the connection.
func (c *Config) put(ctx context.Context, requests []chatops.Request) error {
	if len(requests) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(c.PutTimeout, DefaultPutTimeout))
	defer cancel()
	records := make([]store.Record, len(requests))
	for i, r := range requests {
		body, err := json.Marshal(r)
		if err != nil {
			return err
		}
		records[i] = store.Record{ID: keys.Request(r.ID), Kind: chatops.RecordKind, Body: body}
	}
	added, err := c.Queue.Put(ctx, records...)
	if err != nil {
		c.Log.ErrorContext(ctx, "request from Slack not stored: Slack shows the person an error", store.Outage(err))
		return err
	}
	for i, r := range records {
		result := "duplicate"
		if added[i] {
			result = "stored"
		}
		c.Log.DebugContext(ctx, "request from Slack", "record", r.ID, "result", result)
	}
	return nil
}

// Handler handles Slack's requests over HTTP: POST at InteractionsPath and CommandsPath,
// and nothing else.
type Handler struct {
	http.Handler
	posted *posted
}

type posted struct {
	Config
	verifier atomic.Pointer[verifier]
	bodies   bodies
	refusals *handlers.Refusals
}

// New returns a Handler that accepts what is signed with one of the secrets: while one is
// rotated, there are two.
func New(cfg Config, secrets []string) (*Handler, error) {
	p := &posted{Config: cfg, refusals: handlers.NewRefusals(), bodies: bodies{wait: cmp.Or(cfg.BodyWait, DefaultBodyWait)}}
	h := &Handler{posted: p}
	if err := h.SetSecrets(secrets); err != nil {
		return nil, err
	}
	e := handlers.NewEcho(cfg.Log, func() {})
	e.POST(InteractionsPath, p.serve(decodeInteraction))
	e.POST(CommandsPath, p.serve(decodeCommand))
	h.Handler = e
	return h, nil
}

// SetSecrets replaces the signing secrets. After an error, the old ones stay in force.
func (h *Handler) SetSecrets(secrets []string) error {
	if err := CheckSecrets(secrets); err != nil {
		return err
	}
	if len(secrets) == 0 {
		return errors.New("there is no signing secret: anybody could send requests")
	}
	h.posted.verifier.Store(&verifier{secrets: secrets, now: h.posted.Now})
	return nil
}

// serve returns the handler of one path, whose bodies decode reads.
func (p *posted) serve(decode func(form []byte, at time.Time) ([]chatops.Request, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		at, r, v := p.Now(), c.Request(), p.verifier.Load()
		if err := v.checkTimestamp(r.Header); err != nil { // before the body: anybody can send one
			return p.refuse(c, http.StatusUnauthorized, err)
		}
		body, err := p.bodies.read(c.Response(), r)
		switch {
		case errors.Is(err, errTooLarge):
			return p.refuse(c, http.StatusRequestEntityTooLarge, err)
		case errors.Is(err, errCrowded):
			return p.refuse(c, http.StatusInternalServerError, err)
		case err != nil:
			return p.refuse(c, http.StatusBadRequest, err)
		}
		if err := v.checkSignature(r.Header, body); err != nil {
			return p.refuse(c, http.StatusUnauthorized, err)
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || kind != echo.MIMEApplicationForm {
			return p.refuse(c, http.StatusBadRequest, errors.New("the body is not "+echo.MIMEApplicationForm+", which Slack sends"))
		}
		requests, err := decode(body, at)
		switch ignored := (*ignoredError)(nil); {
		case errors.As(err, &ignored):
			p.Log.DebugContext(c.Request().Context(), "interaction in Slack ignored", "reason", ignored.kind)
			return c.NoContent(http.StatusOK)
		case err != nil:
			return p.refuse(c, http.StatusBadRequest, err)
		}
		ctx, span := handlers.BeginSpan(p.Tracer, r, c.Path(), at)
		if err := p.put(ctx, requests); err != nil {
			handlers.EndSpan(span, http.StatusInternalServerError, "the request could not be stored")
			return c.JSON(http.StatusInternalServerError, handlers.Response{Error: "the request could not be stored: try again later"})
		}
		handlers.EndSpan(span, http.StatusOK, "")
		return c.NoContent(http.StatusOK)
	}
}

// refuse rejects a request, and logs that if not too many were refused just before.
func (p *posted) refuse(c echo.Context, code int, reason error) error {
	if before, line := p.refusals.Next(p.Now()); line {
		p.Log.WarnContext(c.Request().Context(), "request from Slack refused", "code", code, "from", c.RealIP(), "reason", reason, "unlogged", before)
	}
	return c.JSON(code, handlers.Response{Error: reason.Error()})
}
