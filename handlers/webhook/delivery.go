package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Recorder keeps what became of the deliveries.
type Recorder interface {
	// Record keeps a delivery. It is called before the response is complete, and must
	// not wait for anything.
	Record(event.Delivery)
}

const (
	// maxText and maxReason bound the texts of a recorded delivery, in bytes.
	maxText   = 128
	maxReason = 512
	// maxFirsts is the number of projects whose first delivery is logged.
	maxFirsts = 10_000
)

// delivery is the record of a delivery while it is handled.
type delivery struct{ event.Delivery }

// arrived returns the record of a delivery that arrives now. Its result is that of a
// panic until it has ended.
func (w *webhook) arrived(c echo.Context) *delivery {
	h := c.Request().Header
	instance := h.Get(headerInstance)
	if instance != w.GitLab.Instance() { // as it mostly is
		instance = redact.URL(instance)
	}
	return &delivery{event.Delivery{
		At:       w.Now().UTC(),
		Result:   event.DeliveryPanic,
		Code:     http.StatusInternalServerError,
		From:     c.RealIP(),
		Agent:    bounded(h.Get("User-Agent"), maxText),
		Instance: bounded(instance, maxText),
		Hook:     bounded(h.Get("X-Gitlab-Event"), maxText),
	}}
}

// identified adds what the body says of the event. instance is the base URL of GitLab.
func (d *delivery) identified(e *event.Event, instance string) {
	path := e.Project.Path
	if path == "" {
		path = pathOf(e.Project.URL, instance)
	}
	d.Kind = e.Meta.Kind
	status, ref := e.Job.Status, e.Job.Ref
	if d.Kind == event.KindPipeline {
		status, ref = e.Pipeline.Status, e.Pipeline.Ref
	}
	d.Status, d.Ref = bounded(status, maxText), bounded(ref, maxHeader)
	d.Project, d.ProjectID = bounded(path, maxHeader), e.Project.ID
	d.Pipeline, d.Job, d.JobName = e.Pipeline.ID, e.Job.ID, bounded(e.Job.Name, maxHeader)
	d.Event = cmp.Or(bounded(e.Meta.ID, maxHeader), d.Event)
}

// ended sets the response.
func (d *delivery) ended(code int, result, reason string) {
	d.Code, d.Result, d.Reason = code, result, bounded(reason, maxReason)
}

// record keeps what became of a delivery, and logs it: the first one of its project always,
// all others for debugging.
func (w *webhook) record(ctx context.Context, d *delivery) {
	if w.Deliveries != nil {
		w.Deliveries.Record(d.Delivery)
	}
	level, message := slog.LevelDebug, "delivery"
	switch d.Result {
	case event.DeliveryStored, event.DeliveryDuplicate, event.DeliveryIgnored:
		if w.firsts.add(d.ProjectID, d.Project) {
			level, message = slog.LevelInfo, "the first delivery of a project since the start"
		}
	}
	if w.Log.Enabled(ctx, level) {
		w.Log.Log(ctx, level, message, "event", d.Event, "kind", d.Kind, "project", d.Project, "project_id", d.ProjectID, "pipeline", d.Pipeline, "job", d.Job, "job_name", d.JobName,
			"status", d.Status, "result", d.Result, "code", d.Code, "reason", d.Reason, "hook", d.Hook, "from", d.From, "agent", d.Agent)
	}
}

// firsts are the projects that have sent a delivery.
type firsts struct {
	mu   sync.Mutex
	seen map[projectKey]struct{}
}

// projectKey identifies a project by its id, or by its path if it has no id.
type projectKey struct {
	id   int64
	path string
}

// add adds a project, and reports whether it is new. Once there are maxFirsts, none is
// new.
func (f *firsts) add(id int64, path string) bool {
	key := projectKey{id: id}
	if id == 0 {
		key.path = path
	}
	if key == (projectKey{}) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.seen[key]; known || len(f.seen) == maxFirsts {
		return false
	}
	f.seen[key] = struct{}{}
	return true
}

// bounded returns a copy of a text of a sender, which may be a part of a large body,
// with at most so many bytes, and with a question mark for each character that is not to be
// printed.
func bounded(text string, most int) string {
	if len(text) > most {
		const cut = "…"
		text = strings.ToValidUTF8(text[:most-len(cut)], "") + cut
	}
	text = strings.Clone(text)
	if isPrintable(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// isPrintable reports whether a text has only printable characters of ASCII, as most have.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
