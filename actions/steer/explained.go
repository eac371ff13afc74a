package steer

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// maxReason bounds the reason that a record keeps, in bytes.
const maxReason = 500

// Explained returns a handler that keeps in a record why it waits after an error, in the
// member "waits" of the body. A record that waits deliberately has that from its handler.
func Explained(kind string, handle worker.Handler) worker.Handler {
	return func(ctx context.Context, l *worker.Lease) error {
		err := handle(ctx, l)
		if dead := (*worker.DeadError)(nil); err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLeaseLost) || errors.As(err, &dead) {
			return err
		}
		var body map[string]json.RawMessage
		if json.Unmarshal(l.Body(), &body) != nil || body == nil {
			return err
		}
		waits, encodeErr := json.Marshal(waitAfter(kind, err))
		if encodeErr != nil {
			return errors.Join(err, encodeErr)
		}
		body["waits"] = waits
		return errors.Join(err, l.Keep(body))
	}
}

// waitAfter returns why a record of a kind waits after an error.
func waitAfter(kind string, err error) event.Wait {
	wait := event.Wait{For: event.WaitError, Reason: err.Error()}
	switch {
	case event.Unavailable(err):
		wait.For = event.WaitGitLab
	case kind == event.RecordOutcome, kind == event.RecordNotice:
		wait.For = event.WaitReceiver
	}
	if len(wait.Reason) > maxReason {
		const cut = "…"
		wait.Reason = strings.ToValidUTF8(wait.Reason[:maxReason-len(cut)], "") + cut
	}
	return wait
}
