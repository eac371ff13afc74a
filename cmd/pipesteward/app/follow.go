package app

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app/watch"
)

const (
	// settleFor is how long files must be unchanged before they are read: one edit is
	// often several changes.
	settleFor = 100 * time.Millisecond
	// pollEvery is how often files are read in case that no change was reported, as
	// on network file systems.
	pollEvery = 30 * time.Second
)

// follower reads files again when they change.
type follower struct {
	name   string // of the files in logs: "rule files"
	paths  []string
	reload func(anyway bool) // reads them; anyway: also if they seem unchanged
	log    *slog.Logger
}

// run calls reload when the files change or may have changed, and with anyway on
// SIGHUP, until ctx is done.
func (f *follower) run(ctx context.Context) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	changes, err := watch.New(f.paths...)
	f.warnLate(err)
	defer changes.Close()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	settled := time.NewTimer(settleFor) // the files may have changed since they were loaded
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes.Reported:
			settled.Reset(settleFor)
		case err := <-changes.Missed:
			f.log.WarnContext(ctx, "changes of "+f.name+" may have been missed", "error", err)
			settled.Reset(settleFor)
		case <-settled.C:
			f.warnLate(changes.Renew())
			f.reload(false)
		case <-poll.C:
			f.warnLate(changes.Renew())
			f.reload(false)
		case <-hangUp:
			f.reload(true)
		}
	}
}

// warnLate says that changes are seen every pollEvery only; nil: it is not so.
func (f *follower) warnLate(why error) {
	if why != nil {
		f.log.Warn("changes of "+f.name+" are seen late", "wait", pollEvery.String(), "error", why)
	}
}
