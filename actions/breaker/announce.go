package breaker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// RecordKind is the kind of the queue's record that announces that a breaker has
// opened, stays while it is open, and announces that it has closed.
const RecordKind = "storm"

const (
	// logSamples is how many logs are read to find the line that they share.
	logSamples = 5
	// logTimeout is how long the message waits for all of them.
	logTimeout = 10 * time.Second
	// maxLogLine bounds the log line in the message, in bytes.
	maxLogLine = 200
	// maxRunners is how many runners the message names.
	maxRunners = 5
)

// Record is the body of that record.
type Record struct {
	State
	Threshold rules.Storm `json:"rule"`          // as it was when the breaker opened
	Announced bool        `json:"told,omitzero"` // that it has opened
}

// Handle announces that the breaker has opened and, when that is over, that it
// has closed.
func (b *Breakers) Handle(ctx context.Context, lease *worker.Lease, rec Record) error {
	if !rec.Announced {
		began, err := b.began(ctx, rec)
		if err != nil {
			return err
		}
		if err := b.announce(ctx, rec, "start", "storm_began", began); err != nil {
			return err
		}
		rec.Announced = true
		if err := errors.Join(lease.Keep(rec), lease.Extend(ctx)); err != nil {
			return err
		}
	}
	s, err := b.State(ctx, rec.Class)
	if err != nil {
		return err
	}
	if s == nil || s.Opened.Before(rec.Opened) { // its replica died before it saved it, or the store forgot it
		s = &rec.State
		if err := b.save(ctx, *s); err != nil {
			return err
		}
	}
	if left := s.Until.Sub(b.Now()); left > 0 && !s.Closed && s.Opened.Equal(rec.Opened) {
		return lease.Defer(ctx, left)
	}
	if err := b.close(ctx, rec.State); err != nil {
		return err
	}
	over, err := b.over(ctx, rec)
	if err != nil {
		return err
	}
	if err := b.announce(ctx, rec, "end", "storm_over", over); err != nil {
		return err
	}
	return lease.Done(ctx)
}

// close saves that the breaker has closed. Failures that come then open it anew,
// also on replicas whose clocks are behind.
func (b *Breakers) close(ctx context.Context, old State) error {
	return b.claimed(ctx, old.Class, func() error {
		s, err := b.State(ctx, old.Class)
		if err != nil || s == nil || s.Closed || !s.Opened.Equal(old.Opened) {
			return err
		}
		if b.Now().Before(s.Until) {
			return errClaimed // extended a moment ago
		}
		s.Closed = true
		return b.save(ctx, *s)
	})
}

// announce logs that a breaker has opened or closed, and announces it in the
// channel that the rules name, by a block of the words and its data. It returns an error
// while a later call can succeed.
func (b *Breakers) announce(ctx context.Context, rec Record, phase, block string, data any) error {
	logged, err := mrkdwn.Style.Say(block, data)
	if err != nil {
		return err
	}
	b.Log.WarnContext(ctx, "storm: "+phase, "class", rec.Class, "since", rec.Opened, "text", logged)
	text, err := mrkdwn.Style.In(rec.Threshold.Language).Say(block, data)
	if err != nil {
		return err
	}
	notice := event.Notice{Address: rec.Threshold.To, Text: text, Subject: keys.StormRecord(rec.Class, rec.Opened), Turn: event.StateBegan}
	if phase == "end" {
		notice.Turn = event.StateResolved
	}
	return b.Announcer.Announce(ctx, notice.Subject+":"+phase, notice, rec.Opened, "class", rec.Class)
}

// stormBegan is the data of the message about a breaker that has opened: mrkdwn.
type stormBegan struct {
	Class           string
	Jobs, Pipelines int
	Within          time.Duration
	runners
	Line       string // the line that most logs have; "": none is known
	With, Logs int    // in how many logs it stands, and how many were looked at
}

// stormOver is the data of the message about a breaker that has closed.
type stormOver struct {
	Class              string
	Lasted             time.Duration
	Retries, Pipelines int // that waited
	runners
}

// runners are those of jobs, the most frequent first.
type runners struct {
	Runners []runner
	More    int
}

type runner struct {
	Name string // "": none took the jobs
	Jobs int
}

func (b *Breakers) began(ctx context.Context, rec Record) (stormBegan, error) {
	failures, err := b.Guard.Tallied(ctx, keys.Failures(rec.Class), time.Duration(rec.Threshold.Within))
	if err != nil {
		return stormBegan{}, err
	}
	line, n := b.commonLine(ctx, failures)
	return stormBegan{
		Class: rec.Class, Jobs: len(failures), Pipelines: groups(failures), Within: time.Duration(rec.Threshold.Within), runners: runnersOf(failures),
		Line: mrkdwn.Escape(line), With: n, Logs: min(len(failures), logSamples),
	}, nil
}

func (b *Breakers) over(ctx context.Context, rec Record) (stormOver, error) {
	waiting, err := b.Guard.Tallied(ctx, keys.Waiting(rec.Class, rec.Opened), remembered)
	if err != nil {
		return stormOver{}, err
	}
	return stormOver{Class: rec.Class, Lasted: b.Now().Sub(rec.Opened), Retries: len(waiting), Pipelines: groups(waiting), runners: runnersOf(waiting)}, nil
}

// groups counts the different groups of tally members.
func groups(all []store.Seen) int {
	seen := map[string]bool{}
	for _, s := range all {
		seen[s.Group] = true
	}
	return len(seen)
}

// runnersOf returns the runners of the jobs.
func runnersOf(all []store.Seen) (found runners) {
	counts := map[string]int{}
	for _, s := range all {
		counts[s.Note]++
	}
	names := words.MostFrequent(counts)
	for _, name := range names[:min(len(names), maxRunners)] {
		found.Runners = append(found.Runners, runner{mrkdwn.Escape(name), counts[name]})
	}
	found.More = max(0, len(names)-maxRunners)
	return found
}

// commonLine reads the logs of the last failures, and returns the significant
// line that most of them share and in how many it stands. It leaves out a log
// that can't be read: the message must not wait for it.
func (b *Breakers) commonLine(ctx context.Context, failures []store.Seen) (line string, n int) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	counts := map[string]int{}
	for _, f := range failures[max(0, len(failures)-logSamples):] {
		var e event.Event
		if _, err := fmt.Sscanf(f.ID, "%d/%d", &e.Project.ID, &e.Job.ID); err != nil {
			continue
		}
		text, err := b.JobLog(ctx, e)
		if line := joblog.Line(redact.Secrets(joblog.Clean(text))); err == nil && line != "" {
			counts[line]++
		}
	}
	lines := words.MostFrequent(counts)
	if len(lines) == 0 {
		return "", 0
	}
	line = strings.ReplaceAll(lines[0], "`", "'")
	if len(line) > maxLogLine {
		line = strings.ToValidUTF8(line[:maxLogLine], "") + "…"
	}
	return line, counts[lines[0]]
}
