package webhook_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/webhook"
)

// Sizes of bodies: the largest that waits for nobody, and the largest of all
// in these tests, two of which may be in memory at a time.
const (
	small = 256 << 10
	large = 1 << 20
)

const (
	crowded = `{"error":"more comes in at once than there is memory for: send it again later"}`
	stored  = `{"status":"stored"}`
)

// newGate returns a webhook without a network, as the clock of synctest needs.
func newGate(t *testing.T) http.Handler {
	t.Helper()
	h, err := webhook.New(webhook.Config{
		Credentials: webhook.Credentials{Tokens: []string{secretToken}, SigningTokens: []string{signingToken}},
		Queue:       &memoryQueue{}, Rules: wants(all), GitLab: knownGitLab{}, Now: clock,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), MaxBody: large,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// upload is a delivery under way: its body comes when it is let go.
type upload struct {
	reading atomic.Bool // the webhook has begun to read the body
	gate    chan struct{}
	body    io.Reader
	answer  *httptest.ResponseRecorder
	done    chan struct{} // closed when it is answered
}

// start begins a delivery with a body of the size; announced says which size
// its header announces, -1 for none.
func start(t *testing.T, h http.Handler, size int, announced int64, header ...string) *upload {
	t.Helper()
	job := fixture(t, "job-failed.json")
	u := &upload{
		gate:   make(chan struct{}),
		body:   bytes.NewReader(append(job, bytes.Repeat([]byte(" "), size-len(job))...)),
		answer: httptest.NewRecorder(), done: make(chan struct{}),
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path, u)
	r.ContentLength = announced
	r.Header.Set("Idempotency-Key", rand.Text())
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	go func() {
		defer close(u.done)
		h.ServeHTTP(u.answer, r)
	}()
	synctest.Wait()
	return u
}

// Read waits for the gate.
func (u *upload) Read(b []byte) (int, error) {
	u.reading.Store(true)
	<-u.gate
	return u.body.Read(b)
}

// letGo lets the body come, and waits for the answer.
func (u *upload) letGo(t *testing.T, code int, answer string) {
	t.Helper()
	close(u.gate)
	u.answered(t, code, answer)
}

func (u *upload) answered(t *testing.T, code int, answer string) {
	t.Helper()
	synctest.Wait()
	select {
	case <-u.done:
	default:
		t.Fatal("the delivery is not answered")
	}
	if got := strings.TrimSpace(u.answer.Body.String()); u.answer.Code != code || got != answer {
		t.Errorf("answer is %d %s, want %d %s", u.answer.Code, got, code, answer)
	}
}

var proven = []string{"X-Gitlab-Token", secretToken}

func TestLargeBodiesTakeTurns(t *testing.T) {
	for _, c := range []struct {
		name      string
		announced int64
		reads     bool // begins to read what may prove small
	}{
		{"of known size", large, false},
		{"in chunks", -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newGate(t)
				first, second := start(t, h, large, large, proven...), start(t, h, large, large, proven...)
				if !first.reading.Load() || !second.reading.Load() {
					t.Error("two large bodies are not read at a time")
				}
				third := start(t, h, large, c.announced, proven...)
				close(third.gate)
				synctest.Wait()
				if third.reading.Load() != c.reads {
					t.Errorf("a third one is read: %v, want %v", third.reading.Load(), c.reads)
				}
				start(t, h, small, small, proven...).letGo(t, 202, stored)
				first.letGo(t, 202, stored)
				third.answered(t, 202, stored)
				second.letGo(t, 202, stored)
			})
		})
	}
}

// TestLargeBodyDoesNotWaitForEver: a rejected body is not read, and keeps nobody
// waiting who came later.
func TestLargeBodyDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newGate(t)
		first, second := start(t, h, large, large, proven...), start(t, h, large/2, large/2, proven...)
		refused := start(t, h, large, large, proven...)
		<-time.After(webhook.DefaultBodyWait / 2)
		later := start(t, h, large/2, large/2, proven...)
		if later.reading.Load() {
			t.Error("who came later, and needs less, went first")
		}
		<-time.After(webhook.DefaultBodyWait / 2)
		refused.answered(t, 500, crowded)
		if refused.reading.Load() {
			t.Error("a refused body was read")
		}
		for _, u := range []*upload{first, second, later} {
			u.letGo(t, 202, stored)
		}
	})
}

// TestCapacityOfBodiesIsReleased: however a large delivery ends, the next ones come in.
func TestCapacityOfBodiesIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newGate(t)
		for range 3 {
			cutOff := start(t, h, large, large, proven...)
			cutOff.body = iotest.ErrReader(io.ErrUnexpectedEOF)
			cutOff.letGo(t, 400, `{"error":"the body ended before its end: send it again"}`)
			start(t, h, large+1, -1, proven...).letGo(t, 413, `{"error":"the body is larger than a delivery of GitLab can be"}`)
			start(t, h, large, large, signedBy("v1,AAAA")...).letGo(t, 401, `{"error":"the delivery's signature does not fit its body: compare the webhook's signing token in GitLab"}`)
		}
		start(t, h, large, large, proven...).letGo(t, 202, stored)
	})
}

func signedBy(signature string) []string {
	return []string{"webhook-id", vectorID, "webhook-timestamp", strconv.Itoa(vectorTime), "webhook-signature", signature}
}
