package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/traced"
)

// unstored is a store that drops what is put.
type unstored struct{ store.Store }

func (unstored) Put(context.Context, ...store.Record) ([]bool, error) { return nil, nil }

// Without tracing, what is on the way of a delivery allocates nothing for it.
func TestOffAllocatesNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/gitlab", http.NoBody)
	at, failure := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), errors.New("refused")
	decision := event.Decision{Event: event.Event{Project: event.Project{Path: "a/b"}, Job: event.Job{ID: 7}}, Rule: "retry"}
	queue, records := traced.New(unstored{}, time.Now), []store.Record{{ID: "a", Kind: "k", Body: []byte(`{"n":1}`)}}
	for name, do := range map[string]func(context.Context){
		"a request": func(context.Context) {
			_, span := handlers.BeginSpan(nil, r, "/webhooks/gitlab", at)
			handlers.EndSpan(span, http.StatusAccepted, "")
		},
		"an event":      func(ctx context.Context) { tracing.Event(ctx, decision.Event) },
		"its decisions": func(ctx context.Context) { tracing.Decided(ctx, 1) },
		"a decision":    func(ctx context.Context) { tracing.Decision(ctx, decision) },
		"an outcome":    func(ctx context.Context) { tracing.Outcome(ctx, event.ResultDone) },
		"a press":       func(ctx context.Context) { tracing.Request(ctx, "retry") },
		"a notification": func(ctx context.Context) {
			_, end := tracing.Notification(ctx, event.ReceiverSlack)
			end(failure)
		},
		"a record": func(ctx context.Context) { _, _ = queue.Put(ctx, records...) },
	} {
		if n := testing.AllocsPerRun(100, func() { do(t.Context()) }); n != 0 {
			t.Errorf("%s allocates %g times without a span, want 0", name, n)
		}
	}
}
