package slackapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	signingSecret = "8f742231b10e8888abcd99yyyzzz85a5"
	nextSecret    = "0123456789abcdef0123456789abcdef"
	appToken      = "xapp-1-A1-2-very-secret"
)

// memoryQueue is a queue in memory.
type memoryQueue struct {
	mu      sync.Mutex
	records []store.Record
	fail    error
}

var _ slackapp.Queue = (*memoryQueue)(nil)

func (q *memoryQueue) Put(_ context.Context, records ...store.Record) ([]bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return nil, q.fail
	}
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

func (q *memoryQueue) failWith(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = err
}

// requests are those that are stored.
func (q *memoryQueue) requests(t *testing.T) (all []chatops.Request) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, record := range q.records {
		var r chatops.Request
		if err := json.Unmarshal(record.Body, &r); err != nil {
			t.Fatal(err)
		}
		if record.Kind != chatops.RecordKind || record.ID != "request:"+r.ID {
			t.Errorf("the record %q of kind %q has the request %q", record.ID, record.Kind, r.ID)
		}
		all = append(all, r)
	}
	return all
}

// lines are a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a Slack and what its requests come to.
type rig struct {
	*slacktest.Server
	clock   *storetest.Clock
	queue   *memoryQueue
	log     *lines
	handler *slackapp.Handler
	http    *httptest.Server
	user    string
	channel string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{clock: storetest.NewClock(), queue: &memoryQueue{}, log: &lines{}}
	var err error
	if r.Server, err = slacktest.New(slacktest.Options{Now: r.clock.Now, AppToken: appToken}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if r.handler, err = slackapp.New(r.config(), []string{signingSecret}); err != nil {
		t.Fatal(err)
	}
	r.http = httptest.NewServer(r.handler)
	t.Cleanup(r.http.Close)
	r.user, r.channel = r.AddPerson(slacktest.Person{Name: "Ada", Email: "ada@example.com"}), r.Channel("#ci")
	return r
}

func (r *rig) config() slackapp.Config {
	return slackapp.Config{
		Queue: r.queue, Now: r.clock.Now, PutTimeout: time.Minute, BodyWait: time.Minute,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// retry is a press of the button Retry, whose message has replies.
func (r *rig) retry() slacktest.Arrival {
	return r.press(chatops.Button{Does: chatops.ButtonRetry, Of: "decision-1", Job: 9})
}

func (r *rig) press(b chatops.Button) slacktest.Arrival {
	return r.Press(slacktest.Press{User: r.user, Channel: r.channel, Message: "1700000000.000100", ActionID: b.ActionID(), Value: b.Value()})
}

// post sends a request, signed, and returns the status code and the body of the answer.
func (r *rig) post(t *testing.T, a slacktest.Arrival, path, secret string, headers ...string) (int, string) {
	t.Helper()
	code, body, err := r.Post(t.Context(), a, r.http.URL+path, secret, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return code, body
}
