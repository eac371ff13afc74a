package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The vector of GitLab's signing scheme, and the credentials of the tests.
const (
	signingToken = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	vectorID     = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"
	vectorTime   = 1744578123
	vectorBody   = `{"object_kind":"build"}`
	vectorMAC    = "v1,XeG32UOGKYmyoS1nskfX1CcnQeRXquN1mSHSgxzAX4g="

	otherSigningToken = "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	secretToken       = "s3cret-of-the-hook"
	otherSecretToken  = "the-one-before"
)

func clock() time.Time { return time.Unix(vectorTime, 0) }

// memoryQueue is a queue in memory.
type memoryQueue struct {
	mu      sync.Mutex
	records []store.Record
	fail    func(context.Context) error // nil: never
}

var _ webhook.Queue = (*memoryQueue)(nil)

func (q *memoryQueue) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if q.fail != nil {
		if err := q.fail(ctx); err != nil {
			return nil, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	added := make([]bool, len(records))
	for i, r := range records {
		added[i] = true
		for _, seen := range q.records {
			added[i] = added[i] && seen.ID != r.ID
		}
		if added[i] {
			q.records = append(q.records, r)
		}
	}
	return added, nil
}

func (q *memoryQueue) ids() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := make([]string, len(q.records))
	for i, r := range q.records {
		ids[i] = r.ID
	}
	return ids
}

// wants is a set of rules that is a function.
type wants func(event.Event) bool

var _ webhook.Wanter = wants(nil)

func (w wants) Wants(e event.Event) bool { return w(e) }

func all(event.Event) bool  { return true }
func none(event.Event) bool { return false }

// knownGitLab is the instance at gitlabURL, which knows every address as its own.
type knownGitLab struct{}

func (knownGitLab) Instance() string { return gitlabURL }

func (knownGitLab) ForeignAddress(string, string, string) (string, bool) { return "", true }

// recorder keeps all deliveries.
type recorder struct {
	mu  sync.Mutex
	all []event.Delivery
}

var _ webhook.Recorder = (*recorder)(nil)

func (r *recorder) Record(d event.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, d)
}

// rig is a webhook that serves, with its queue, metrics and log.
type rig struct {
	*httptest.Server
	handler    http.Handler
	queue      *memoryQueue
	deliveries *recorder
	metrics    *prometheus.Registry
	log        *bytes.Buffer
}

func newRig(tb testing.TB, change func(*webhook.Config)) *rig {
	tb.Helper()
	r := &rig{queue: &memoryQueue{}, deliveries: &recorder{}, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	cfg := webhook.Config{
		Credentials: webhook.Credentials{Tokens: []string{secretToken}},
		Queue:       r.queue,
		Rules:       wants(all),
		GitLab:      knownGitLab{},
		Now:         clock,
		Log:         slog.New(slog.NewTextHandler(r.log, nil)),
		Metrics:     r.metrics,
		Deliveries:  r.deliveries,
	}
	if change != nil {
		change(&cfg)
	}
	h, err := webhook.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	r.handler = h
	r.Server = httptest.NewServer(h)
	tb.Cleanup(r.Close)
	return r
}

// post sends a delivery; header has names and values in turn.
func (r *rig) post(tb testing.TB, body []byte, header ...string) (code int, answer string) {
	tb.Helper()
	code, answer, err := r.send(body, header...)
	if err != nil {
		tb.Fatal(err)
	}
	return code, answer
}

func (r *rig) send(body []byte, header ...string) (code int, answer string, err error) {
	req, err := http.NewRequest(http.MethodPost, r.URL+webhook.Path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.Client().Do(req)
	if err != nil {
		return 0, "", err
	}
	return read(resp)
}

func read(resp *http.Response) (code int, answer string, err error) {
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(text)), errors.Join(err, resp.Body.Close())
}

// counted returns the values of the deliveries' metric, like "job stored 1".
func (r *rig) counted(tb testing.TB) []string {
	tb.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	var counts []string
	for _, f := range families {
		if f.GetName() != "pipesteward_deliveries_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			counts = append(counts, fmt.Sprintf("%s %s %g", labels["kind"], labels["result"], m.GetCounter().GetValue()))
		}
	}
	return counts
}

func sign(token, id string, at int64, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if err != nil {
		panic(err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(fmt.Appendf(nil, "%s.%d.%s", id, at, body))
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}
