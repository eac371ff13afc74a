package requests_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/requests"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/store"
)

// TestRequestsThatNoReplicaTakes: they wait for a replica that takes them, and not for longer
// than the person could read the reply.
func TestRequestsThatNoReplicaTakes(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, notices)
	elsewhere := requests.Elsewhere{Now: h.Now, Log: slog.New(slog.NewTextHandler(h.Logs, nil))}
	h.Runner.Handle(chatops.RecordKind, worker.JSON(elsewhere.Handle))
	h.Type(actionstest.Ada, "status")
	depth := func() store.Depth {
		d, err := h.DB.Depth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	h.Clock.Advance(28 * time.Minute)
	h.Work()
	if d := depth(); d.Waiting != 1 || d.Dead != 0 {
		t.Errorf("after 28 minutes, the queue has %+v, want 1 that waits", d)
	}
	h.Clock.Advance(2 * time.Minute)
	h.Work()
	if d := depth(); d != (store.Depth{}) || !strings.Contains(h.Logs.String(), "a request from Slack is dropped") {
		t.Errorf("after 30 minutes, the queue has %+v, want nothing but a line in the log:\n%s", d, h.Logs)
	}
}
