// Package admin serves operators: health, metrics, the rules, pauses and mutes in force,
// the last webhook deliveries, the journal of decisions, and the queue.
//
// The package has more than 2,000 lines because each route of the API has its parameters,
// checks and answers here.
package admin

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/profiles"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/store"
)

// storeTimeout bounds each request to the store.
const storeTimeout = 5 * time.Second

// Store is the part of the store that the admin API shows.
type Store interface {
	// Ping returns nil when the store can be written to.
	Ping(ctx context.Context) error
	// Entries lists the journal, newest first, from a cursor on.
	Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error)
	// EntriesOf returns those of the entries of the journal with the ids that there are.
	EntriesOf(ctx context.Context, ids ...string) ([]store.Entry, error)
	// Depth counts the queue's records.
	Depth(ctx context.Context) (store.Depth, error)
	// Records lists the queue's records, soonest due first, from a cursor on.
	Records(ctx context.Context, cursor string, n int) (records []store.QueuedRecord, next string, err error)
	// Dead lists buried records, newest first, from a cursor on.
	Dead(ctx context.Context, cursor string, n int) (dead []store.DeadRecord, next string, err error)
}

// Steerer changes the queue, and records who does, in one step.
type Steerer interface {
	// Requeue puts a dead record back into the queue, or has a decision that failed made
	// again. Besides those of the store, its errors are event.ErrNoRecord and
	// *event.StateError, as those of Drop.
	Requeue(ctx context.Context, id string, actor event.Actor) (event.Requeued, error)
	// Drop removes a record that no worker has leased.
	Drop(ctx context.Context, id string, actor event.Actor) error
}

// Changes is the list of the changes that people made, which all replicas share.
type Changes interface {
	// Record adds a change that was made now, outside of the store.
	Record(ctx context.Context, c event.Change) error
	// List returns the changes, newest first.
	List(ctx context.Context) ([]event.Change, error)
}

// DeliveryLister lists the last webhook deliveries.
type DeliveryLister interface {
	// Deliveries lists up to limit deliveries that match and arrived since a time, newest
	// first, from a cursor on.
	Deliveries(ctx context.Context, match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (list []event.Delivery, next string, err error)
}

// RulesReporter reports which rules are in force.
type RulesReporter interface {
	State() RulesState
	// MayNotify reports whether a rule may notify a channel.
	MayNotify(channel string) bool
}

// RulesState describes the rules in force and their files.
type RulesState struct {
	Hash     string          `json:"hash"` // of all files, their names included
	LoadedAt time.Time       `json:"loaded_at"`
	Error    string          `json:"error,omitzero"` // why the present files can't be used; the rules in force are older
	FailedAt time.Time       `json:"failed_at,omitzero"`
	Rules    []rules.Summary `json:"rules"`
	// Warnings are likely mistakes in the rules in force.
	Warnings schema.FileErrors `json:"warnings,omitempty"`
}

// PathMCP is where Config.Assistants serves tools. They only read, although each request is
// a POST.
const PathMCP = "/mcp"

// PathAssets is the route of the files that pages load, which are the same for everybody.
const PathAssets = "/assets/:name"

// Config is what New needs; all of it is required but Page, Assistants and Tracer.
type Config struct {
	Addr       net.Addr         // of the listener
	Auth       *auth.Authorizer // says who may use it; nil: whoever reaches it
	Store      Store
	Decisions  DecisionFinder
	Deliveries DeliveryLister
	Rules      RulesReporter
	Reload     func() error // reads rules and secrets again, as SIGHUP does
	Pauses     Pauser
	Mutes      Muter
	Projects   ProjectFinder
	Steerer    Steerer
	Changes    Changes
	// Kinds are the kinds of the queue's records.
	Kinds []string
	// Describe returns what a record of the queue is about, by its kind and its body.
	Describe     func(kind string, body []byte) event.Subject
	Stories      Storyteller
	Reports      Reporter
	Unknown      UnknownLister
	Limits       LimitsReader
	Activity     ActivityReader
	CatchUpEvery time.Duration // between two rounds that are made without a request; 0: there are none
	CatchUps     CatchUps
	Backups      Backups
	Doctor       Doctor
	Hooks        Hooks
	Seeder       Seeder
	Instance     string // the base URL of GitLab, without a slash at its end
	Metrics      prometheus.Gatherer
	Version      string
	DryRun       bool // the process changes nothing
	// PublicMetrics lets everybody who reaches the address read /metrics.
	PublicMetrics bool
	// Pprof has profiles of the process served.
	Pprof bool
	// Parts are further values that GET /api/v1/status shows, by name; each is JSON.
	Parts map[string]func(context.Context) any
	Page  interface{ Register(e *echo.Echo) } // the page for browsers, beside the API; nil: there is none
	// Assistants serves tools for assistants at PathMCP; nil: there are none.
	Assistants interface{ Register(e *echo.Echo) }
	Now        func() time.Time
	Log        *slog.Logger
	Tracer     trace.Tracer // of the requests, see traced; nil: they are not traced
}

type admin struct{ Config }

// openAPI describes the API.
//
//go:embed openapi.yaml
var openAPI []byte

// New returns the handler of the admin address:
//
//	GET /healthz           200 while the process serves; also /-/healthy
//	GET /readyz            200, or 503 with the reason; also /-/ready
//	POST /-/reload         reads rules and secrets again; 422 if they can't be used
//	GET /metrics           for Prometheus
//	GET /api/v1/status     version, rules in force, pauses, mutes and queue
//	POST /api/v1/pause     stops actions on all replicas
//	POST /api/v1/resume    ends a pause
//	POST /api/v1/mute      keeps notifications from being sent, on all replicas
//	POST /api/v1/unmute    ends a mute
//	GET /api/v1/decisions  the journal, newest first, with filters and pages
//	GET /api/v1/report     sums of the journal
//	GET /api/v1/report/page  the same with charts and tables, for a page
//	GET /api/v1/unknown    failed jobs that no failure class covers, in groups
//	GET /api/v1/unknown/{id}/proposal  a failure class, a rule and a test for a group
//	GET /api/v1/limits     circuit breakers and budgets of retries
//	GET /api/v1/why        what happened to a job or a pipeline, and why
//	GET /api/v1/deliveries the last webhook deliveries, newest first, with filters and pages
//	GET /api/v1/rules      the rules in force, and whether their files can be used
//	GET /api/v1/rules/activity  how often each matched or failed lately
//	GET /api/v1/queue      how many records there are, and the queue, soonest due first
//	GET /api/v1/dead       the records that were buried, newest first
//	POST /api/v1/queue/{id}/requeue  puts a dead record back, or has a failed decision made again
//	POST /api/v1/queue/{id}/drop     removes a record
//	POST /api/v1/catch-up  begins a round of catch-up
//	GET /api/v1/catch-up   the last round that was requested, and what it found
//	GET /api/v1/doctor     what each check of doctor found last
//	POST /api/v1/doctor    begins to make these checks
//	GET /api/v1/hooks      the webhooks of projects and groups, as they were read last
//	POST /api/v1/hooks     begins to read or to repair them
//	POST /api/v1/tries     adds retries that a backtest has found to what is known of them
//	GET /api/v1/backup     a copy of the store, if that is a file
//	GET /api/v1/changes    what people changed by these requests, newest first
//	GET /api/v1/openapi.yaml  describes all of these
//	POST /mcp              with Assistants, tools that only read
//	GET /debug/pprof/      profiles of the process, with Pprof; not in openapi.yaml
//
// Package auth says who may use it: reading needs the role read, the backup, profiles and all
// else the role operate, and health checks and PathAssets none. A web page of another origin can't change anything.
func New(cfg Config) http.Handler {
	a := &admin{cfg}
	e := handlers.NewEcho(cfg.Log, func() {})
	e.Use(a.ownHosts, a.sameOrigin, cfg.Auth.Require(a.needs), a.traced, knownQuery)
	cfg.Auth.Register(e)
	healthy := func(c echo.Context) error { return c.JSON(http.StatusOK, handlers.Response{Status: "ok"}) }
	e.GET("/healthz", healthy)
	e.GET("/-/healthy", healthy)
	e.GET("/readyz", a.ready)
	e.GET("/-/ready", a.ready)
	e.POST("/-/reload", a.reload)
	// While the store is away, what is counted in this process is of most use.
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})))
	e.GET("/api/v1/status", a.status)
	e.POST("/api/v1/pause", a.pause)
	e.POST("/api/v1/resume", a.resume)
	e.POST("/api/v1/mute", a.mute)
	e.POST("/api/v1/unmute", a.unmute)
	e.GET("/api/v1/decisions", a.decisions)
	e.GET("/api/v1/report", func(c echo.Context) error { return a.report(c, a.Reports.Report) })
	e.GET("/api/v1/report/page", func(c echo.Context) error { return a.report(c, a.Reports.Page) })
	e.GET("/api/v1/unknown", a.unknown)
	e.GET("/api/v1/unknown/:id/proposal", a.proposal)
	e.GET("/api/v1/limits", a.limits)
	e.GET("/api/v1/why", a.why)
	e.GET("/api/v1/deliveries", a.deliveries)
	e.GET("/api/v1/rules", func(c echo.Context) error { return c.JSON(http.StatusOK, a.Rules.State()) })
	e.GET("/api/v1/rules/activity", a.activity)
	e.GET("/api/v1/queue", a.queue)
	e.GET("/api/v1/dead", a.dead)
	e.POST("/api/v1/queue/:id/requeue", a.requeue)
	e.POST("/api/v1/queue/:id/drop", a.drop)
	e.POST("/api/v1/catch-up", a.startCatchUp)
	e.GET("/api/v1/catch-up", a.lastCatchUp)
	e.GET("/api/v1/doctor", a.checkup)
	e.POST("/api/v1/doctor", a.startCheckup)
	e.GET("/api/v1/hooks", a.hooks)
	e.POST("/api/v1/hooks", a.readHooks)
	e.POST("/api/v1/tries", a.tries)
	e.GET(backupPath, a.backup)
	e.GET("/api/v1/changes", a.changes)
	e.GET("/api/v1/openapi.yaml", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", openAPI) })
	if cfg.Page != nil {
		cfg.Page.Register(e)
	}
	if cfg.Assistants != nil {
		cfg.Assistants.Register(e)
	}
	if cfg.Pprof {
		profiles.Register(e)
	}
	return e
}

// needs returns the role that a request needs. A route that is new is not open.
func (a *admin) needs(c echo.Context) auth.Role {
	switch c.Path() {
	case "/healthz", "/-/healthy", "/readyz", "/-/ready":
		return auth.RoleNone
	case "/metrics":
		if a.PublicMetrics {
			return auth.RoleNone
		}
	case PathMCP:
		return auth.RoleRead
	case PathAssets: // what a page for somebody who is not known looks like
		return auth.RoleNone
	}
	if c.Path() == backupPath || strings.HasPrefix(c.Path(), profiles.Path) {
		return auth.RoleOperate
	}
	switch c.Request().Method {
	case http.MethodGet, http.MethodHead:
		return auth.RoleRead
	default:
		return auth.RoleOperate
	}
}

// ready pings the store only: a process whose rules do not load serves nothing.
func (a *admin) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	if err := a.Store.Ping(ctx); err != nil {
		return c.JSON(http.StatusServiceUnavailable, handlers.Response{Error: "store unreachable: " + err.Error()})
	}
	return c.JSON(http.StatusOK, handlers.Response{Status: "ready"})
}

// reload answers once the new rules and secrets are in force.
func (a *admin) reload(c echo.Context) error {
	var req ChangeRequest
	if err := readOptional(c, &req); err != nil {
		return badRequest(c, err)
	}
	if err := a.Reload(); err != nil {
		return c.JSON(http.StatusUnprocessableEntity, handlers.Response{Error: err.Error()})
	}
	a.changed(c, event.Change{Action: event.ChangeReload, By: actor(c, req.By), Reason: req.Reason})
	return c.JSON(http.StatusOK, handlers.Response{Status: "reloaded"})
}

// unavailable answers that the store did not. It is logged, unless the client went away, by
// which its requests to the store end.
func (a *admin) unavailable(c echo.Context, err error) error {
	if errors.Is(err, event.ErrUnreadablePauses) || errors.Is(err, event.ErrUnreadableMutes) {
		return c.JSON(http.StatusInternalServerError, handlers.Response{Error: err.Error()})
	}
	if ctx := c.Request().Context(); ctx.Err() == nil {
		a.Log.ErrorContext(ctx, "store did not answer", "path", c.Path(), store.Outage(err))
	}
	return c.JSON(http.StatusServiceUnavailable, handlers.Response{Error: "the store did not answer: see /readyz and the log"})
}
