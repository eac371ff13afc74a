package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers"
)

// Connections of somebody without credentials, who only looks like GitLab, hold
// up neither signed deliveries nor those with the right token.
func TestStalledConnectionsDelayNobody(t *testing.T) {
	t.Parallel()
	const signing = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	env := newEnvironment(t)
	p := env.run("--webhook-signing-token", signing)
	address := strings.TrimSuffix(strings.TrimPrefix(p.webhooks, "http://"), "/webhooks/gitlab")
	for i := range 130 {
		announced := 256 << 10
		if i >= 128 {
			announced = 25 << 20
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nWebhook-Id: %d\r\nWebhook-Timestamp: %d\r\nWebhook-Signature: v1,AAAA\r\nContent-Length: %d\r\n\r\n{",
			i, time.Now().Unix(), announced); err != nil {
			t.Fatal(err)
		}
	}

	job := env.stuckJob()
	body := env.gitlab.JobHookBody(job.ID)
	large := append(bytes.Repeat([]byte(" "), 20<<20), body...)
	for _, body := range [][]byte{body, large} {
		at := time.Now()
		signature, err := gitlabtest.Sign(signing, "signed", at, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []map[string]string{
			{"Webhook-Id": "signed", "Webhook-Timestamp": strconv.FormatInt(at.Unix(), 10), "Webhook-Signature": signature},
			{"X-Gitlab-Token": testSecret, "Idempotency-Key": "with token"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.webhooks, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range header {
				req.Header.Set(name, value)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode/100 != 2 {
				t.Errorf("a delivery of %d bytes is answered with %d %s (%v), want 202 or 200", len(body), resp.StatusCode, text, err)
			}
		}
	}
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// Whoever opens more connections than there may be gets older ones closed, and
// keeps nobody out.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.serve()
	address := strings.TrimSuffix(strings.TrimPrefix(p.webhooks, "http://"), "/webhooks/gitlab")
	for range handlers.DefaultConnections + 200 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "POST ") // it may be closed already
	}
	if code := p.post([]byte(`{"object_kind":"push"}`)); code != http.StatusOK {
		t.Errorf("a delivery beside too many connections is answered with %d", code)
	}
	open, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		t.Skip("the system does not report which files a process has open")
	}
	if most := handlers.DefaultConnections + 100; len(open) > most {
		t.Errorf("%d files and connections are open, want %d at most", len(open), most)
	}
}
