package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// hangingTeller accepts every notification and does not answer until it is
// released.
type hangingTeller struct {
	release chan struct{}

	mu     sync.Mutex
	silent bool
	calls  int
	told   map[string]int // by id of the outcome
}

// silence is the error of a receiver that does not answer.
type silence struct{}

func (silence) Error() string                { return "no answer" }
func (silence) Silent() bool                 { return true }
func (silence) Again() (time.Duration, bool) { return time.Second, true }

func (h *hangingTeller) Notify(ctx context.Context, o event.Outcome, _ event.Notice) error {
	h.mu.Lock()
	h.calls++
	silent := h.silent
	h.mu.Unlock()
	if silent {
		return silence{}
	}
	select {
	case <-h.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told[o.ID]++
	return nil
}

func (h *hangingTeller) Message(_ context.Context, o event.Outcome, _ event.Notice) (string, bool, error) {
	return o.ID, false, nil
}

func (h *hangingTeller) Announce(context.Context, string, string, string) error { return nil }

const notifyRules = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - name: r
    on: job
    if: job.status == "failed"
    actions: [retry]
    notify: [{when: [failed]}]
`

// queueOutcomes puts outcomes into the queue that people are to be notified of.
func queueOutcomes(h *actionstest.Harness, n int) {
	h.Helper()
	for i := range n {
		o := event.Outcome{
			Decision: event.Decision{ID: fmt.Sprintf("old-%d", i), Rule: "r", Action: event.Action{Verb: event.VerbRetry}},
			Result:   event.ResultFailed, At: h.Now(),
		}
		o.Meta.Kind = event.KindJob
		body, err := json.Marshal(o)
		if err != nil {
			h.Fatal(err)
		}
		if _, err := h.DB.Put(h.Context(), store.Record{ID: "outcome:" + o.ID, Kind: event.RecordOutcome, Body: body}); err != nil {
			h.Fatal(err)
		}
	}
}

// TestReceiverThatHangsDelaysNobody: with 1,500 outcomes before it and a
// receiver that never answers, a new retry is made and all outcomes are
// journalled. When the receiver answers, each outcome is notified once.
func TestReceiverThatHangsDelaysNobody(t *testing.T) {
	t.Parallel()
	const queued = 1500
	h := actionstest.New(t, notifyRules)
	teller := &hangingTeller{release: make(chan struct{}), told: map[string]int{}}
	h.Receiver = teller
	h.Start(actionstest.NewFuse(-1))
	queueOutcomes(h, queued)
	h.Clock.Advance(time.Second) // the event is due after all of them
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.Runner.Run(ctx, time.Minute) })
	defer running.Wait()
	defer stop()
	await.Until(t, "the retry is made", func() bool { return h.GitLab.Count("POST", "/retry") == 1 })
	teller.mu.Lock()
	if len(teller.told) > 0 {
		t.Errorf("%d outcomes were notified while the receiver hung", len(teller.told))
	}
	teller.mu.Unlock()
	await.Until(t, "all outcomes are journalled", func() bool {
		entries, _, err := h.DB.Entries(t.Context(), "", queued+10)
		return err == nil && len(entries) == queued+1
	})

	close(teller.release)
	await.Until(t, "all outcomes are told", func() bool {
		h.Clock.Advance(time.Second) // for those that wait in the queue
		return h.Idle()
	})
	teller.mu.Lock()
	defer teller.mu.Unlock()
	if len(teller.told) != queued {
		t.Errorf("%d outcomes were notified, want %d", len(teller.told), queued)
	}
	for id, n := range teller.told {
		if n != 1 {
			t.Errorf("outcome %s was notified %d times", id, n)
		}
	}
}

// TestSilentReceiverIsLeftAlone: when a receiver has not answered three times in
// a row, one notification at a time tries whether it does.
func TestSilentReceiverIsLeftAlone(t *testing.T) {
	t.Parallel()
	const queued = 50
	h := actionstest.New(t, notifyRules)
	teller := &hangingTeller{release: make(chan struct{}), silent: true, told: map[string]int{}}
	close(teller.release)
	h.Receiver = teller
	h.Start(actionstest.NewFuse(-1))
	queueOutcomes(h, queued)
	for range 4 * 60 {
		h.Work()
		h.Clock.Advance(time.Second)
	}
	if teller.calls < 3 || teller.calls > 12 { // 3, then after 5, 10, 20, 40, 60, 60 s
		t.Errorf("the receiver was called %d times in 4 minutes, want 3 and a few probes", teller.calls)
	}
	teller.silent = false
	for range 2 * 60 {
		h.Work()
		h.Clock.Advance(time.Second)
	}
	if len(teller.told) != queued {
		t.Errorf("%d outcomes were notified when the receiver answered, want %d", len(teller.told), queued)
	}
	metrics, err := h.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range metrics {
		if family.GetName() != "pipesteward_notifications_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[1].GetValue() == "sent" && m.GetCounter().GetValue() != queued {
				t.Errorf("%v notifications were sent by the metric, want %d", m.GetCounter().GetValue(), queued)
			}
		}
		return
	}
	t.Error("there is no pipesteward_notifications_total")
}

var _ notify.Receiver = (*hangingTeller)(nil)
