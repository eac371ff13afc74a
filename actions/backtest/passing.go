package backtest

import (
	"context"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
)

// maxPassingLogs bounds the logs of jobs that passed which one backtest reads.
const maxPassingLogs = 5000

// PassingLogs reads the ends of the logs of jobs that passed; a history.Reader implements it.
type PassingLogs interface {
	PassingLog(ctx context.Context, project, job int64, ended time.Time) (string, error)
}

var _ PassingLogs = history.Reader{}

// ReadPassing reads the logs of the newest runs that passed, n of each name of a job in a
// project, so that classes can be tried on them. Logs that can't be read, or are gone, are left
// out. The error is that of ctx, or of GitLab while it passes; what was read is kept.
func (b *Backtest) ReadPassing(ctx context.Context, n int, logs PassingLogs) error {
	type passed struct {
		project, job int64
		ended        time.Time
	}
	var wanted []passed
	for i, moments := range b.moments {
		ofJob := map[string]int{}
		for _, m := range slices.Backward(moments) {
			if m.run == nil || m.run.Status != "success" || ofJob[m.run.Name] == n || len(wanted) == maxPassingLogs {
				continue
			}
			ofJob[m.run.Name]++
			wanted = append(wanted, passed{b.timelines[i].project.ID, m.run.ID, m.run.FinishedAt})
		}
	}
	return inParallel(ctx, len(wanted), func(ctx context.Context, i int) error {
		_, err := logs.PassingLog(ctx, wanted[i].project, wanted[i].job, wanted[i].ended)
		if !history.IsGeneral(ctx, err) {
			return nil
		}
		return err
	}, func(done int) { b.Progress("passing logs", done, len(wanted)) })
}
