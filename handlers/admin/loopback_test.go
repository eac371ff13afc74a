package admin_test

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/admin"
)

// adminOn returns the handler of the admin API as if it listened on the address.
func adminOn(ip string, reload func() error) http.Handler {
	return admin.New(admin.Config{
		Changes: &changes{},
		Addr:    &net.TCPAddr{IP: net.ParseIP(ip), Port: 9090}, Store: &memoryStore{}, Rules: state{}, Reload: reload,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
}

func request(h http.Handler, method, path, host string, header ...string) (code int, answer string) {
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// A page in a browser that made its own name resolve to 127.0.0.1 reads
// nothing (DNS rebinding): the browser sends that name.
func TestLoopbackAnswersLoopbackHosts(t *testing.T) {
	for host, own := range map[string]bool{
		"127.0.0.1:9090":        true,
		"127.0.0.1":             true,
		"127.255.0.9:1":         true,
		"localhost:9090":        true,
		"LocalHost":             true,
		"[::1]:9090":            true,
		"[::1]":                 true,
		"[::ffff:127.0.0.1]:80": true,

		"rebound.example.com:9090": false,
		"rebound.example.com":      false,
		"localhost.example.com":    false,
		"127.0.0.1.nip.io":         false,
		"10.0.0.1:9090":            false,
		"0.0.0.0:9090":             false,
		"":                         false,
	} {
		for _, ip := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
			for _, path := range []string{"/api/v1/decisions", "/metrics", "/healthz", "/nothing"} {
				code, answer := request(adminOn(ip, nil), http.MethodGet, path, host)
				if refused := code == http.StatusMisdirectedRequest; refused == own || refused && !strings.Contains(answer, "--admin-external-url") {
					t.Errorf("on %s, GET %s for host %q is answered with %d %s", ip, path, host, code, answer)
				}
			}
		}
		if code, _ := request(adminOn("10.0.0.1", nil), http.MethodGet, "/healthz", host); code != http.StatusOK {
			t.Errorf("on another address than loopback, host %q is answered with %d", host, code)
		}
	}
}

// A page of another origin can make a browser post to any address.
func TestWritesNeedTheSameOrigin(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		code   int
	}{
		{"curl", nil, 200},
		{"the page itself", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:9090"}, 200},
		{"the page itself, in an old browser", []string{"Origin", "http://127.0.0.1:9090"}, 200},
		{"typed by the user", []string{"Sec-Fetch-Site", "none"}, 200},
		{"another page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"another page of the same site", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8000"}, 403},
		{"another page, in an old browser", []string{"Origin", "https://evil.example"}, 403},
		{"a page without an origin", []string{"Origin", "null"}, 403},
	} {
		for _, ip := range []string{"127.0.0.1", "10.0.0.1"} {
			reloads := 0
			h := adminOn(ip, func() error { reloads++; return nil })
			code, answer := request(h, http.MethodPost, "/-/reload", "127.0.0.1:9090", c.header...)
			if code != c.code || (reloads == 1) != (c.code == 200) {
				t.Errorf("%s, on %s: answer is %d %s after %d reloads, want %d", c.name, ip, code, answer, reloads, c.code)
			}
			if code, answer := request(h, http.MethodGet, "/healthz", "127.0.0.1:9090", c.header...); code != 200 {
				t.Errorf("%s, on %s: reading is answered with %d %s", c.name, ip, code, answer)
			}
		}
	}
}

func TestReload(t *testing.T) {
	var failed error
	h := adminOn("127.0.0.1", func() error { return failed })
	if code, answer := request(h, http.MethodPost, "/-/reload", "localhost"); code != 200 || answer != `{"status":"reloaded"}` {
		t.Errorf("answer is %d %s", code, answer)
	}
	failed = errors.New("rules.yaml:1:1: no")
	if code, answer := request(h, http.MethodPost, "/-/reload", "localhost"); code != 422 || answer != `{"error":"rules.yaml:1:1: no"}` {
		t.Errorf("answer is %d %s, want 422", code, answer)
	}
	if code, _ := request(h, http.MethodGet, "/-/reload", "localhost"); code != 405 {
		t.Errorf("GET is answered with %d, want 405", code)
	}
}
