package requests_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/requests"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

// endlessReport is a report on a journal that is too large.
type endlessReport struct{}

func (endlessReport) Report(ctx context.Context, _ time.Duration, _ words.Style) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// replies are what a person reads.
type replies []string

func (r *replies) Reply(_ context.Context, _ chatops.Request, said chatops.Reply) error {
	*r = append(*r, said.Text)
	return nil
}

// oneRecord is the queue of a record that is done when its handler has settled it.
type oneRecord struct {
	worker.Queue
	done bool
}

func (*oneRecord) Extend(context.Context, *store.Lease, time.Duration) error { return nil }

func (q *oneRecord) DoneWith(context.Context, *store.Lease, store.Changes) error {
	q.done = true
	return nil
}

// unhurried is a store by which everybody may make another request.
type unhurried struct{ requests.Store }

func (unhurried) Take(context.Context, ...store.Bucket) (int, time.Duration, error) { return 1, 0, nil }

// TestReportThatTakesLong: it is given up after the time that the admin API has for it.
func TestReportThatTakesLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said replies
		log := slog.New(slog.DiscardHandler)
		handler := &requests.Handler{Store: unhurried{}, Rights: actionstest.Rights(actionstest.Everybody), Replies: &said, Reports: endlessReport{}, Rules: func() *rules.Rules { return rules.New(rules.Set{}) }, Now: time.Now, Log: log}
		body, err := json.Marshal(chatops.Request{ID: "r", By: actionstest.Ada, Command: "report since 1y", ReceivedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		queue := &oneRecord{}
		pool := worker.New(worker.Config{Queue: queue, Log: log, Handlers: map[string]worker.Handler{chatops.RecordKind: worker.JSON(handler.Handle)}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		pool.Work(ctx, store.Lease{ID: "r", Kind: chatops.RecordKind, Body: body})
		if len(said) != 1 || !strings.Contains(said[0], "takes longer than 18s") || !queue.done {
			t.Errorf("the person reads %q", said)
		}
	})
}
