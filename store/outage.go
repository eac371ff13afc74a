package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Outage returns the attribute "error" for a log line that repeats as long as
// the store is unreachable, such as one for each delivery. QuietOutages limits
// the rate of such lines.
func Outage(err error) slog.Attr { return slog.Any("error", &outageError{err}) }

type outageError struct{ err error }

func (e *outageError) Error() string { return e.err.Error() }

func (e *outageError) Unwrap() error { return e.err }

// outageEvery is the interval at which a line of an outage is logged.
const outageEvery = time.Minute

// QuietOutages returns a handler that limits the rate of lines with an Outage:
// for each message it logs the first line, and then once a minute the latest,
// with the number of lines since as `repeated`. It passes all other lines on to
// h.
func QuietOutages(h slog.Handler) slog.Handler {
	return &quietHandler{h, &outages{lines: map[string]*outageLine{}}}
}

type quietHandler struct {
	slog.Handler
	outages *outages
}

// outages counts the lines of outages by their message.
type outages struct {
	mu    sync.Mutex
	lines map[string]*outageLine
}

type outageLine struct {
	logged   time.Time
	repeated int         // how many lines came since
	latest   slog.Record // the last of them
}

// Handle implements slog.Handler.
func (h *quietHandler) Handle(ctx context.Context, r slog.Record) error {
	isOutage := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		isOutage = ok && errors.As(err, new(*outageError))
		return !isOutage
	})
	var log []slog.Record
	if !isOutage {
		log = append(h.outages.overdue(r.Time), r)
	} else {
		log = h.outages.add(r)
	}
	var errs []error
	for _, r := range log {
		errs = append(errs, h.Handler.Handle(ctx, r))
	}
	return errors.Join(errs...)
}

// WithAttrs implements slog.Handler.
func (h *quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quietHandler{h.Handler.WithAttrs(attrs), h.outages}
}

// WithGroup implements slog.Handler.
func (h *quietHandler) WithGroup(name string) slog.Handler {
	return &quietHandler{h.Handler.WithGroup(name), h.outages}
}

// add counts a line, and returns the lines to log.
func (o *outages) add(r slog.Record) []slog.Record {
	log := o.overdue(r.Time)
	o.mu.Lock()
	defer o.mu.Unlock()
	if line := o.lines[r.Message]; line != nil {
		line.repeated, line.latest = line.repeated+1, r.Clone()
		return log
	}
	o.lines[r.Message] = &outageLine{logged: r.Time}
	return append(log, r)
}

// overdue returns the latest line of each message that was last logged
// outageEvery ago, with the number of lines since; it forgets the messages
// without any.
func (o *outages) overdue(now time.Time) (log []slog.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for message, line := range o.lines {
		switch {
		case now.Sub(line.logged) < outageEvery:
		case line.repeated == 0:
			delete(o.lines, message)
		default:
			line.latest.AddAttrs(slog.Int("repeated", line.repeated))
			log = append(log, line.latest)
			line.logged, line.repeated = now, 0
		}
	}
	slices.SortFunc(log, func(a, b slog.Record) int { return a.Time.Compare(b.Time) })
	return log
}
