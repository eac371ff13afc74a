package slackapp_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
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

// What anybody can send takes bounded memory, and only for a time.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var begun []net.Conn
	for range 256 {
		begun = append(begun, r.begin(t, r.http))
	}
	press := r.retry()
	code := func() int { code, _ := r.post(t, press, slackapp.InteractionsPath, signingSecret); return code }
	r.eventually(t, "no memory is left", func() bool { return code() == http.StatusInternalServerError })
	for _, conn := range begun {
		_ = conn.Close()
	}
	r.eventually(t, "memory is left", func() bool { return code() == http.StatusOK })
	if n := len(r.queue.requests(t)); n != 1 {
		t.Errorf("%d requests are stored", n)
	}
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
