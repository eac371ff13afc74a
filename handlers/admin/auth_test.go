package admin_test

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/actions/index"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// assistants answer every request.
type assistants struct{}

func (assistants) Register(e *echo.Echo) {
	e.POST(admin.PathMCP, func(c echo.Context) error { return c.NoContent(http.StatusOK) })
}

// Health checks are open, reading needs the role read, and all else the role operate,
// also what is not there.
func TestRoles(t *testing.T) {
	clock := storetest.NewClock()
	db := openStore(t, clock)
	made := audit.Log{Store: db, Now: clock.Now}
	newAdmin := func(publicMetrics, pprof bool) http.Handler {
		a, err := auth.New(auth.Config{
			Kind: auth.KindProxyHeader, Proxy: auth.ProxyConfig{UserHeader: "X-User"}, Now: clock.Now, Log: slog.New(slog.DiscardHandler),
			Roles: auth.Roles{Readers: []string{"rita"}, Operators: []string{"ann"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return admin.New(admin.Config{
			Assistants: assistants{},
			Changes:    made, Describe: steer.Describe, Steerer: &adminRig{}, CatchUps: &catchUps{}, Doctor: &checks{}, Hooks: &checks{},
			Backups: copied("the store"),
			Addr:    &net.TCPAddr{IP: net.IPv4zero}, Auth: a, PublicMetrics: publicMetrics, Pprof: pprof, Store: db, Decisions: index.New(index.Config{Journal: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)}), Rules: state{}, Reload: func() error { return nil },
			Pauses: pause.Pauses{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)}, Mutes: pause.Mutes{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)}, Metrics: prometheus.NewRegistry(), Now: clock.Now, Log: slog.New(slog.DiscardHandler),
		})
	}
	closed, public := newAdmin(false, true), newAdmin(true, false)
	send := func(h http.Handler, user, method, path string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(`{"by": "mallory"}`))
		r.RemoteAddr = "127.0.0.1:4711"
		r.Header.Set("Content-Type", "application/json")
		if user != "" {
			r.Header.Set("X-User", user)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		method, path                string
		nobody, stranger, rita, ann int
	}{
		{"GET", "/healthz", 200, 200, 200, 200},
		{"GET", "/-/healthy", 200, 200, 200, 200},
		{"GET", "/readyz", 200, 200, 200, 200},
		{"GET", "/-/ready", 200, 200, 200, 200},
		{"GET", "/metrics", 401, 403, 200, 200},
		{"GET", "/api/v1/status", 401, 403, 200, 200},
		{"GET", "/api/v1/decisions", 401, 403, 200, 200},
		{"GET", "/api/v1/rules", 401, 403, 200, 200},
		{"GET", "/api/v1/queue", 401, 403, 200, 200},
		{"GET", "/api/v1/dead", 401, 403, 200, 200},
		{"GET", "/api/v1/changes", 401, 403, 200, 200},
		{"GET", "/api/v1/catch-up", 401, 403, 200, 200},
		{"GET", "/api/v1/backup", 401, 403, 403, 200},
		{"POST", "/api/v1/catch-up", 401, 403, 403, 200},
		{"GET", "/api/v1/doctor", 401, 403, 200, 200},
		{"POST", "/api/v1/doctor", 401, 403, 403, 200},
		{"GET", "/api/v1/hooks", 401, 403, 200, 200},
		{"POST", "/api/v1/hooks", 401, 403, 403, 200},
		{"GET", "/api/v1/openapi.yaml", 401, 403, 200, 200},
		{"POST", "/api/v1/queue/event:1/requeue", 401, 403, 403, 200},
		{"POST", "/api/v1/queue/event:1/drop", 401, 403, 403, 200},
		{"GET", "/debug/pprof/", 401, 403, 403, 200},
		{"GET", "/debug/pprof/heap", 401, 403, 403, 200},
		{"GET", "/debug/pprof/goroutine", 401, 403, 403, 200},
		{"GET", "/debug/pprof/profile?seconds=x", 401, 403, 403, 0}, // takes 30 s
		{"GET", "/debug/pprof/cmdline", 401, 403, 403, 404},         // it may have secrets
		{"POST", "/mcp", 401, 403, 200, 200},
		{"GET", "/mcp", 401, 403, 405, 405},
		{"GET", "/nothing", 401, 403, 404, 404},
		{"POST", "/-/reload", 401, 403, 403, 200},
		{"POST", "/api/v1/pause", 401, 403, 403, 200},
		{"POST", "/api/v1/resume", 401, 403, 403, 0},       // below, once something is paused
		{"POST", "/api/v1/queue/x/drop", 401, 403, 403, 0}, // there is no queue here
		{"DELETE", "/api/v1/status", 401, 403, 403, 405},
	} {
		for user, want := range map[string]int{"": c.nobody, "eve": c.stranger, "rita": c.rita, "ann": c.ann} {
			if want == 0 {
				continue
			}
			if code, text := send(closed, user, c.method, c.path); code != want {
				t.Errorf("%s %s by %q: %d %s, want %d", c.method, c.path, user, code, text, want)
			}
		}
	}
	if code, _ := send(public, "", "GET", "/metrics"); code != 200 {
		t.Errorf("public metrics are answered with %d", code)
	}
	if code, _ := send(public, "", "GET", "/api/v1/status"); code != 401 {
		t.Errorf("with public metrics, the status is answered with %d", code)
	}
	if code, _ := send(public, "ann", "GET", "/debug/pprof/heap"); code != 404 {
		t.Errorf("without the setting, a profile is answered with %d", code)
	}
	// The authenticated user did it, whatever the body says.
	clock.Advance(time.Second)
	if _, text := send(closed, "ann", "POST", "/api/v1/pause"); !strings.Contains(text, `"by":"ann"`) || strings.Contains(text, "mallory") {
		t.Errorf("a pause by ann is answered with %s", text)
	}
	if code, text := send(closed, "ann", "POST", "/api/v1/resume"); code != 200 {
		t.Errorf("ann resumes: %d %s", code, text)
	}
	for _, c := range recordedIn(t, made) {
		if c.By != "ann" {
			t.Errorf("change %+v, want it to be by ann", c)
		}
	}
	if all := recordedIn(t, made); len(all) != 5 { // a round of catch-up, a reload, two pauses and a resume
		t.Errorf("%d changes are recorded, want 5: %+v", len(all), all)
	}
}
