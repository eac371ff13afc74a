package slackapp_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
)

// begin begins a request whose body does not end.
func (r *rig) begin(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	at := strconv.FormatInt(r.clock.Now().Unix(), 10)
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\nX-Slack-Request-Timestamp: %s\r\nX-Slack-Signature: %s\r\n\r\npay",
		slackapp.InteractionsPath, at, slacktest.Sign("x", at, "x")); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Whoever sends bodies that do not end takes bounded memory, and keeps no request of Slack
// out.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var dropped atomic.Int64
	var waiting sync.WaitGroup
	var begun []net.Conn
	for range 300 {
		conn := r.begin(t, r.http)
		begun = append(begun, conn)
		waiting.Go(func() {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return // it is closed, below
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusInternalServerError {
				dropped.Add(1)
			}
		})
	}
	r.eventually(t, "all but 256 are dropped", func() bool { return dropped.Load() == 300-256 })
	long := r.retry()
	long.Form.Set("more", strings.Repeat("x", 100<<10)) // it does not come in one packet
	for _, press := range []slacktest.Arrival{r.retry(), long} {
		if code, body := r.post(t, press, slackapp.InteractionsPath, signingSecret); code != http.StatusOK {
			t.Fatalf("while bodies that do not end take the memory, a press is answered with %d %s", code, body)
		}
	}
	r.eventually(t, "the requests replace what takes long", func() bool { return dropped.Load() == 300-256+1 })
	if n := len(r.queue.requests(t)); n != 2 {
		t.Errorf("%d requests are stored, want 2", n)
	}
	for _, conn := range begun {
		_ = conn.Close()
	}
	waiting.Wait()
}

func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cfg := r.config()
	cfg.BodyWait = time.Millisecond
	handler, err := slackapp.New(cfg, []string{signingSecret})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	resp, err := http.ReadResponse(bufio.NewReader(r.begin(t, server)), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(r.log.String(), "too slowly") {
		t.Errorf("%d\n%s", resp.StatusCode, r.log)
	}
}
