package requests

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
)

// elsewhereRetry is how long a request waits before another replica may take it: a person
// waits for it.
const elsewhereRetry = time.Second

// errElsewhere is the error of a request that another replica must carry out.
var errElsewhere = &worker.LaterError{Err: errors.New("this replica takes no requests from Slack: another one must"), After: elsewhereRetry}

// Elsewhere leaves requests to other replicas: it stands for a Handler where requests from
// Slack are off. Both fields are required.
type Elsewhere struct {
	Now func() time.Time
	Log *slog.Logger
}

// Handle has a request wait for another replica, as long as Slack takes replies to it.
func (e Elsewhere) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	if e.Now().Sub(rec.ReceivedAt) < replyable {
		return errElsewhere
	}
	e.Log.WarnContext(ctx, "a request from Slack is dropped: no replica with --slack-signing-secret or --slack-app-token has taken it in time",
		"by", rec.By.Requester().String(), "action", does(rec.Request))
	return l.Done(ctx)
}
