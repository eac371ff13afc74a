package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/store"
)

const (
	defaultLimit = 50
	maxLimit     = 500
	// maxScan bounds how many journal entries one request looks at; a filter
	// that matches few goes on with the next request.
	maxScan = 5000
	// storeTimeout bounds each question to the store.
	storeTimeout = 5 * time.Second
	// hidden stands for the values of variables and inputs, which may be
	// secrets.
	hidden = "[hidden]"
	// outcomeWaiting is the filter's name for decisions with no outcome yet.
	outcomeWaiting = "waiting"
)

// AdminStore is what the admin API shows of the store.
type AdminStore interface {
	// Ping returns nil when the store can be written to.
	Ping(ctx context.Context) error
	// Entries lists the journal, newest first, from a cursor on.
	Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error)
	// Depth counts the queue's records.
	Depth(ctx context.Context) (store.Depth, error)
	// Dead lists buried records, newest first.
	Dead(ctx context.Context, n int) ([]store.DeadRecord, error)
}

// RulesReporter tells which rules are in force.
type RulesReporter interface {
	State() RulesState
}

// RulesState is what is known of the rules in force and of their files.
type RulesState struct {
	Hash     string          `json:"hash"` // of all files, their names included
	LoadedAt time.Time       `json:"loaded_at"`
	Error    string          `json:"error,omitzero"` // why the files, as they are now, can't be used; the rules in force are older
	FailedAt time.Time       `json:"failed_at,omitzero"`
	Rules    []rules.Summary `json:"rules"`
	// Warnings are what in the rules in force looks like a mistake.
	Warnings schema.FileErrors `json:"warnings,omitempty"`
}

// AdminConfig is what NewAdmin needs; all of it is required.
type AdminConfig struct {
	Addr    net.Addr // where it listens
	Store   AdminStore
	Rules   RulesReporter
	Reload  func() error // reads rules and secrets again, as SIGHUP does
	Pauses  Pauser
	Metrics prometheus.Gatherer
	Version string
	DryRun  bool // the process changes nothing
	// Parts are what else GET /api/v1/status shows, by name; each is JSON.
	Parts map[string]func(context.Context) any
	Now   func() time.Time
	Log   *slog.Logger
}

type admin struct{ AdminConfig }

// NewAdmin gives the handler of the admin address:
//
//	GET /healthz           200 while the process serves; also /-/healthy
//	GET /readyz            200, or 503 with what is not ready; also /-/ready
//	POST /-/reload         reads rules and secrets again; 422 if they can't be used
//	GET /metrics           for Prometheus
//	GET /api/v1/status     what is in force, paused and queued
//	POST /api/v1/pause     stops actions on all replicas
//	POST /api/v1/resume    ends a pause
//	GET /api/v1/decisions  the journal, newest first, with filters and pages
//	GET /api/v1/rules      the rules in force, and whether their files can be used
//	GET /api/v1/queue      how many records the queue holds
//	GET /api/v1/dead       the records that were buried, newest first
//
// It asks for no credentials: the address is for operators alone. Where it is
// a loopback address, it answers only requests for a loopback host; and nowhere
// may a web page of another origin change anything.
func NewAdmin(cfg AdminConfig) http.Handler {
	a := &admin{cfg}
	e := newEcho(cfg.Log, func() {})
	if isLoopback(cfg.Addr) {
		e.Use(onlyLoopback)
	}
	e.Use(sameOrigin)
	healthy := func(c echo.Context) error { return c.JSON(http.StatusOK, answer{Status: "ok"}) }
	e.GET("/healthz", healthy)
	e.GET("/-/healthy", healthy)
	e.GET("/readyz", a.ready)
	e.GET("/-/ready", a.ready)
	e.POST("/-/reload", a.reload)
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{})))
	e.GET("/api/v1/status", a.status)
	e.POST("/api/v1/pause", a.pause)
	e.POST("/api/v1/resume", a.resume)
	e.GET("/api/v1/decisions", a.decisions)
	e.GET("/api/v1/rules", func(c echo.Context) error { return c.JSON(http.StatusOK, a.Rules.State()) })
	e.GET("/api/v1/queue", a.queue)
	e.GET("/api/v1/dead", a.dead)
	return e
}

// ready asks the store only: without rules that load, nothing serves.
func (a *admin) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	if err := a.Store.Ping(ctx); err != nil {
		return c.JSON(http.StatusServiceUnavailable, answer{Error: "store unreachable: " + err.Error()})
	}
	return c.JSON(http.StatusOK, answer{Status: "ready"})
}

// reload answers once what is new is in force.
func (a *admin) reload(c echo.Context) error {
	if err := a.Reload(); err != nil {
		return c.JSON(http.StatusUnprocessableEntity, answer{Error: err.Error()})
	}
	return c.JSON(http.StatusOK, answer{Status: "reloaded"})
}

// decisionsPage is one page of decisions; Next is the cursor of the next, ""
// at the end. A page may hold fewer decisions than asked for, or none, and
// yet have a next.
type decisionsPage struct {
	Decisions []event.Outcome `json:"decisions"`
	Next      string          `json:"next"`
}

func (a *admin) decisions(c echo.Context) error {
	q, err := parseDecisionsQuery(c.QueryParams())
	if err != nil {
		return c.JSON(http.StatusBadRequest, answer{Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	page, err := a.page(ctx, q)
	switch {
	case errors.Is(err, store.ErrBadCursor):
		return c.JSON(http.StatusBadRequest, answer{Error: `parameter "cursor": it must be the "next" of an earlier answer`})
	case err != nil:
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, page)
}

// page walks the journal until the page is full, the journal ends or enough
// was looked at. The first step is no longer than the page, so that all of it
// is on the page; later ones may end in the middle, and then the step is made
// again with the right length, to learn the cursor of that place.
func (a *admin) page(ctx context.Context, q decisionsQuery) (decisionsPage, error) {
	page := decisionsPage{Decisions: []event.Outcome{}, Next: q.cursor}
	for step, scanned := q.limit, 0; scanned < maxScan; step = maxLimit {
		entries, next, err := a.Store.Entries(ctx, page.Next, step)
		if err != nil {
			return decisionsPage{}, err
		}
		for i, entry := range entries {
			o, ok := a.outcome(entry)
			if !ok || !q.matches(&o) {
				continue
			}
			page.Decisions = append(page.Decisions, o)
			if len(page.Decisions) == q.limit && i+1 < len(entries) {
				_, next, err = a.Store.Entries(ctx, page.Next, i+1)
				if err != nil {
					return decisionsPage{}, err
				}
				break
			}
		}
		page.Next = next
		if next == "" || len(page.Decisions) == q.limit {
			break
		}
		scanned += len(entries)
	}
	return page, nil
}

// outcome reads a journal entry, without what may be secret.
func (a *admin) outcome(entry store.Entry) (o event.Outcome, ok bool) {
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		a.Log.Error("journal entry not readable", "id", entry.ID, "error", err)
		return o, false
	}
	hide(&o.Decision)
	return o, true
}

// hide takes out what may be secret: variables of a pipeline that someone
// started by hand or by the API, and those that a rule sets.
func hide(d *event.Decision) {
	for _, values := range []map[string]string{d.Pipeline.Variables, d.Action.Variables} {
		for k := range values {
			values[k] = hidden
		}
	}
	for k := range d.Action.Inputs {
		d.Action.Inputs[k] = []byte(`"` + hidden + `"`)
	}
}

func (a *admin) queue(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	d, err := a.Store.Depth(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, Depth(d))
}

// deadRecord is a buried record. Record is its body, an Event, a Decision or
// an Outcome by its kind.
type deadRecord struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Record any       `json:"record,omitempty"`
}

func (a *admin) dead(c echo.Context) error {
	v := c.QueryParams()
	limit, err := limitOf(v)
	if err := errors.Join(known(v, "limit"), err); err != nil {
		return c.JSON(http.StatusBadRequest, answer{Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	records, err := a.Store.Dead(ctx, limit)
	if err != nil {
		return a.unavailable(c, err)
	}
	list := make([]deadRecord, len(records))
	for i, r := range records {
		list[i] = deadRecord{ID: r.ID, Kind: r.Kind, Reason: r.Reason, At: r.At.UTC(), Record: readable(r)}
	}
	return c.JSON(http.StatusOK, struct {
		Dead []deadRecord `json:"dead"`
	}{list})
}

// readable gives the body of a buried record, without what may be secret; nil
// where it can't be read, which may be why it was buried.
func readable(r store.DeadRecord) any {
	var o event.Outcome // has all fields of the smaller ones
	if err := json.Unmarshal(r.Body, &o); err != nil {
		return nil
	}
	hide(&o.Decision)
	switch r.Kind {
	case event.RecordEvent:
		return o.Event
	case event.RecordDecision:
		return o.Decision
	case event.RecordOutcome:
		return o
	default:
		return nil
	}
}

func (a *admin) unavailable(c echo.Context, err error) error {
	if errors.Is(err, event.ErrUnreadablePauses) {
		return c.JSON(http.StatusInternalServerError, answer{Error: err.Error()})
	}
	a.Log.Error("store did not answer", "path", c.Path(), store.Outage(err))
	return c.JSON(http.StatusServiceUnavailable, answer{Error: "the store did not answer: see /readyz and the log"})
}

// decisionsQuery is which decisions are wanted; "" stands for any.
type decisionsQuery struct {
	rule, action, outcome string
	project               string // path or id
	pipeline, job         int64  // 0 for any
	ref                   string
	limit                 int
	cursor                string
}

func parseDecisionsQuery(v url.Values) (decisionsQuery, error) {
	action, err1 := oneOf(v, "action", event.Verbs)
	outcome, err2 := oneOf(v, "outcome", slices.Concat(event.Results, []string{outcomeWaiting}))
	pipeline, err3 := idOf(v, "pipeline")
	job, err4 := idOf(v, "job")
	limit, err5 := limitOf(v)
	q := decisionsQuery{
		rule:     v.Get("rule"),
		action:   action,
		outcome:  outcome,
		project:  v.Get("project"),
		pipeline: pipeline,
		job:      job,
		ref:      v.Get("ref"),
		limit:    limit,
		cursor:   v.Get("cursor"),
	}
	return q, errors.Join(
		known(v, "rule", "action", "outcome", "project", "pipeline", "job", "ref", "limit", "cursor"),
		err1, err2, err3, err4, err5)
}

// known checks that only these parameters are given, each once.
func known(v url.Values, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("parameter %q is unknown: there are %s", name, strings.Join(names, ", "))
		}
		if len(v[name]) > 1 {
			return fmt.Errorf("parameter %q is given %d times: give it once", name, len(v[name]))
		}
	}
	return nil
}

// oneOf reads a parameter that is a word of a closed set; "" if not given.
func oneOf(v url.Values, name string, allowed []string) (string, error) {
	given := v.Get(name)
	if given != "" && !slices.Contains(allowed, given) {
		return "", fmt.Errorf("parameter %q: it must be one of %s", name, strings.Join(allowed, ", "))
	}
	return given, nil
}

// idOf reads a parameter that is an id of GitLab's; 0 if not given.
func idOf(v url.Values, name string) (int64, error) {
	given := v.Get(name)
	if given == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(given, 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("parameter %q: it must be an id, a whole number from 1", name)
	}
	return id, nil
}

// limitOf reads how many items are wanted.
func limitOf(v url.Values) (int, error) {
	given := v.Get("limit")
	if given == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(given)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fmt.Errorf("parameter %q: it must be a whole number from 1 to %d", "limit", maxLimit)
	}
	return limit, nil
}

func (q *decisionsQuery) matches(o *event.Outcome) bool {
	outcome := q.outcome
	if outcome == outcomeWaiting {
		outcome = ""
	}
	return (q.rule == "" || q.rule == o.Rule || slices.Contains(o.AlsoWantedBy, q.rule)) &&
		(q.action == "" || q.action == o.Action.Verb) &&
		(q.outcome == "" || outcome == o.Result) &&
		(q.project == "" || q.project == o.Project.Path || q.project == strconv.FormatInt(o.Project.ID, 10)) &&
		(q.pipeline == 0 || q.pipeline == o.Pipeline.ID) &&
		(q.job == 0 || q.job == o.Job.ID) &&
		(q.ref == "" || q.ref == cmp.Or(o.Job.Ref, o.Pipeline.Ref))
}
