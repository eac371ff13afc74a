package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A storm is an outage: many failures of one class in many pipelines. All
// replicas know of it by a small value in the store. While it lasts, retries of
// its class wait, each with a ticket. It ends when the failures have been too
// few for `storm.pause`; then one ticket after the other is called, oldest
// first, and what is still wanted then is retried.
//
//	failures ──► too many ──► storm ──► too few for a pause ──► over ──► tickets called
//	                            ▲            │
//	                            └── too many ┘

const (
	// recordStorm is the kind of the queue's record that tells of a storm's
	// start, stays as long as it lasts, and tells of its end.
	recordStorm = "storm"
	// releaseEvery is how far apart the tickets of a storm are called.
	releaseEvery = time.Second
	// prolongEvery is how often a storm is made to last longer, at most.
	prolongEvery = 5 * time.Second
	// stormClaim is how long one replica has a storm's value to itself.
	stormClaim = 10 * time.Second
	// logSamples is how many logs are read to find the line they share.
	logSamples = 5
	// logPatience is how long the message waits for all of them.
	logPatience = 10 * time.Second
	// logLine is the longest log line that is told, in bytes.
	logLine = 200
)

// storm is what is known of a storm.
type storm struct {
	Class   string    `json:"class"`
	Started time.Time `json:"started"`
	Until   time.Time `json:"until"` // it ends then, unless more failures come
	Over    bool      `json:"over,omitzero"`
}

// blows reports whether retries of its class wait.
// A clock that was set back since by more than clockSkew makes no storm longer.
func (s storm) blows(now time.Time) bool {
	return !s.Over && now.Before(s.Until) && !now.Before(s.Started.Add(-clockSkew))
}

// clockSkew is how far the clocks of replicas may be apart.
const clockSkew = 10 * time.Minute

// stormRecord is the body of a storm's record in the queue.
type stormRecord struct {
	storm
	Rule rules.Storm `json:"rule"`          // as it was when the storm began
	Told bool        `json:"told,omitzero"` // its start
}

// stormOf gives the last storm of the class, nil where none is remembered.
func (r *Runner) stormOf(ctx context.Context, class string) (*storm, error) {
	value, err := r.Guard.Get(ctx, keys.Storm(class))
	if err != nil || value == nil {
		return nil, err
	}
	s := &storm{}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("storm %s: %w", class, err)
	}
	return s, nil
}

func (r *Runner) saveStorm(ctx context.Context, s storm) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return r.Guard.Set(ctx, keys.Storm(s.Class), value, remembered)
}

// watch counts the failures that the decisions want retried, and begins a
// storm where they are too many.
func (r *Runner) watch(ctx context.Context, decisions []event.Decision) error {
	def := r.Rules().Storm()
	for _, d := range decisions {
		for _, job := range toRetry(d) {
			if d.DryRun || job.FailureClass == "" {
				continue
			}
			count, err := r.Guard.Tally(ctx, keys.Failures(job.FailureClass), store.Seen{
				ID:    fmt.Sprintf("%d/%d", d.Project.ID, job.ID),
				Group: strconv.FormatInt(d.Pipeline.ID, 10),
				Note:  runnerName(job.Runner),
			}, time.Duration(def.Within))
			if err != nil {
				return fmt.Errorf("storm breaker: %w", err)
			}
			if count.Members < def.Failures || count.Groups < def.Pipelines {
				continue
			}
			if err := r.blow(ctx, job.FailureClass, def); err != nil {
				return fmt.Errorf("storm breaker: %w", err)
			}
		}
	}
	return nil
}

// toRetry gives the failed jobs that the decision wants to run again.
func toRetry(d event.Decision) []event.Job {
	var jobs []event.Job
	switch d.Action.Verb {
	case event.VerbRetry:
		return []event.Job{d.Job}
	case event.VerbRetryPipeline:
		for _, job := range d.Pipeline.Jobs {
			if job.Status == "failed" {
				jobs = append(jobs, job)
			}
		}
		if d.Job.Status == "failed" {
			jobs = append(jobs, d.Job)
		}
	}
	return jobs
}

func runnerName(r event.Runner) string {
	if r.ID == 0 {
		return ""
	}
	return cmp.Or(r.Description, "runner "+strconv.FormatInt(r.ID, 10))
}

var errStormClaimed = errors.New("another worker sees to the storm: look again")

// blow begins a storm, or makes one that blows last a pause from now. While
// another worker, which may die, is at the same, it returns an error.
func (r *Runner) blow(ctx context.Context, class string, def rules.Storm) error {
	pause := time.Duration(def.Pause)
	fresh := func() (*storm, bool, error) { // whether it has just been seen to
		s, err := r.stormOf(ctx, class)
		return s, err == nil && s != nil && !s.Over && s.Until.Sub(r.Now()) > pause-prolongEvery, err
	}
	if _, seen, err := fresh(); seen || err != nil {
		return err
	}
	return r.withStorm(ctx, class, func() error {
		s, seen, err := fresh()
		if seen || err != nil {
			return err
		}
		now := r.Now().UTC()
		if s == nil || !s.blows(now) {
			s = &storm{Class: class, Started: now, Until: now.Add(pause)}
			body, err := json.Marshal(stormRecord{storm: *s, Rule: def})
			if err != nil {
				return err
			}
			// The record first: without its value it puts that there by itself.
			if _, err := r.Queue.Put(ctx, store.Record{ID: keys.StormRecord(s.Class, s.Started), Kind: recordStorm, Body: body}); err != nil {
				return err
			}
		}
		s.Until = now.Add(pause)
		return r.saveStorm(ctx, *s)
	})
}

// withStorm changes the value of a class's storm while no other replica does;
// while one does, the error is errStormClaimed.
func (r *Runner) withStorm(ctx context.Context, class string, change func() error) error {
	held, err := store.WithClaim(ctx, r.Guard, keys.Storm(class), stormClaim, change)
	if err == nil && !held {
		return errStormClaimed
	}
	return err
}

// becalmed makes a retry wait while a storm of its class blows, and then
// until its ticket is called.
func (r *Runner) becalmed(ctx context.Context, p *pending) (*verdict, error) {
	for _, class := range classesOf(p) {
		s, err := r.stormOf(ctx, class)
		if err != nil {
			return nil, fmt.Errorf("storm breaker: %w", err)
		}
		if s == nil {
			continue
		}
		now := r.Now()
		blows := s.blows(now)
		if blows && !p.Storm.Equal(s.Started) {
			count, err := r.Guard.Tally(ctx, keys.Waiting(s.Class, s.Started), store.Seen{
				ID: p.Key, Group: strconv.FormatInt(p.Pipeline.ID, 10), Note: runnerName(p.Job.Runner),
			}, remembered)
			if err != nil {
				return nil, fmt.Errorf("storm breaker: %w", err)
			}
			p.Storm, p.Ticket = s.Started, count.Position
		}
		if !p.Storm.Equal(s.Started) {
			continue
		}
		called := s.Until.Add(time.Duration(p.Ticket) * releaseEvery).Sub(now)
		switch {
		case blows:
			return postponed(called, "a storm: too many failures of class %s since %s, and their retries wait for its end", class, s.Started.Format(time.TimeOnly)), nil
		case called > 0:
			return deferred(called), nil
		}
	}
	return nil, nil
}

// classesOf gives the failure classes that a retry is about.
func classesOf(p *pending) []string {
	classes := map[string]bool{p.Job.FailureClass: true}
	if p.Action.Verb == event.VerbRetryPipeline {
		for _, job := range p.Pipeline.Jobs {
			classes[job.FailureClass] = true
		}
	}
	delete(classes, "")
	return slices.Sorted(maps.Keys(classes))
}

// storm tells of a storm's start and, when it is over, of its end.
func (r *Runner) storm(ctx context.Context, h *held, rec stormRecord) error {
	if !rec.Told {
		if err := r.tellStorm(ctx, rec, "start", r.stormStarts); err != nil {
			return err
		}
		rec.Told = true
		if err := errors.Join(h.keep(rec), h.extend(ctx)); err != nil {
			return err
		}
	}
	s, err := r.stormOf(ctx, rec.Class)
	if err != nil {
		return err
	}
	if s == nil || s.Started.Before(rec.Started) { // its replica died before it saved it, or the store forgot it
		s = &rec.storm
		if err := r.saveStorm(ctx, *s); err != nil {
			return err
		}
	}
	if left := s.Until.Sub(r.Now()); left > 0 && !s.Over && s.Started.Equal(rec.Started) {
		return h.deferFor(ctx, left)
	}
	if err := r.endStorm(ctx, rec.storm); err != nil {
		return err
	}
	if err := r.tellStorm(ctx, rec, "end", r.stormEnds); err != nil {
		return err
	}
	return h.done(ctx)
}

// endStorm says in the store that the storm is over. What comes then begins
// another one, also for replicas whose clocks are behind.
func (r *Runner) endStorm(ctx context.Context, over storm) error {
	return r.withStorm(ctx, over.Class, func() error {
		s, err := r.stormOf(ctx, over.Class)
		if err != nil || s == nil || s.Over || !s.Started.Equal(over.Started) {
			return err
		}
		if r.Now().Before(s.Until) {
			return errStormClaimed // made to last longer a moment ago
		}
		s.Over = true
		return r.saveStorm(ctx, *s)
	})
}

// tellStorm logs a storm's start or end, and announces it in the channel that
// the rules name. It returns an error while that can be told later.
func (r *Runner) tellStorm(ctx context.Context, rec stormRecord, what string, words func(context.Context, stormRecord) (string, error)) error {
	text, err := words(ctx, rec)
	if err != nil {
		return err
	}
	r.Log.Warn("storm: "+what, "class", rec.Class, "started", rec.Started, "text", text)
	return r.announce(ctx, keys.StormRecord(rec.Class, rec.Started)+":"+what, rec.Rule.Channel, text, rec.Started, "storm", rec.Class)
}

// stormStarts words what is known when a storm begins.
func (r *Runner) stormStarts(ctx context.Context, rec stormRecord) (string, error) {
	failures, err := r.Guard.Tallied(ctx, keys.Failures(rec.Class), time.Duration(rec.Rule.Within))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, ":zap: *Storm of `%s` failures*: %s in %s failed within %s. Their retries wait until it is over.",
		rec.Class, plural(len(failures), "job"), plural(groups(failures), "pipeline"), rec.Rule.Within)
	r.addRunners(&b, failures)
	if line, n := r.commonLine(ctx, failures); line != "" {
		fmt.Fprintf(&b, "\nLog, %d of %d looked at: `%s`", n, min(len(failures), logSamples), r.escape(line))
	}
	return b.String(), nil
}

// stormEnds words what came of a storm.
func (r *Runner) stormEnds(ctx context.Context, rec stormRecord) (string, error) {
	waiting, err := r.Guard.Tallied(ctx, keys.Waiting(rec.Class, rec.Started), remembered)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, ":sunny: *Storm of `%s` failures is over* after %s.", rec.Class, span(r.Now().Sub(rec.Started)))
	if len(waiting) == 0 {
		b.WriteString(" No retry waited.")
		return b.String(), nil
	}
	fmt.Fprintf(&b, " %s in %s waited: those still wanted are made now, one a second, oldest first.",
		counted(len(waiting), "retry", "retries"), plural(groups(waiting), "pipeline"))
	r.addRunners(&b, waiting)
	return b.String(), nil
}

func groups(all []store.Seen) int {
	seen := map[string]bool{}
	for _, s := range all {
		seen[s.Group] = true
	}
	return len(seen)
}

// addRunners adds which runners the jobs ran on, the most frequent first.
func (r *Runner) addRunners(b *strings.Builder, all []store.Seen) {
	counts := map[string]int{}
	for _, s := range all {
		counts[cmp.Or(s.Note, "no runner")]++
	}
	const most = 5
	names := byCount(counts)
	b.WriteString("\nRunners:")
	for i, name := range names[:min(len(names), most)] {
		fmt.Fprintf(b, "%s %s (%d)", [2]string{"", ","}[min(i, 1)], r.escape(name), counts[name])
	}
	if more := len(names) - most; more > 0 {
		fmt.Fprintf(b, ", and %d more", more)
	}
}

// byCount gives the keys, the most frequent first.
func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// commonLine looks at the logs of the last failures, and gives the telling
// line that most of them have and in how many it stands. A log that can't be
// read is left out: the message must not wait for it.
func (r *Runner) commonLine(ctx context.Context, failures []store.Seen) (line string, n int) {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	counts := map[string]int{}
	for _, f := range failures[max(0, len(failures)-logSamples):] {
		var e event.Event
		if _, err := fmt.Sscanf(f.ID, "%d/%d", &e.Project.ID, &e.Job.ID); err != nil {
			continue
		}
		text, err := r.facts().Log(ctx, e)
		if line := joblog.Line(joblog.Mask(joblog.Clean(text))); err == nil && line != "" {
			counts[line]++
		}
	}
	lines := byCount(counts)
	if len(lines) == 0 {
		return "", 0
	}
	line = strings.ReplaceAll(lines[0], "`", "'")
	if len(line) > logLine {
		line = strings.ToValidUTF8(line[:logLine], "") + "…"
	}
	return line, counts[lines[0]]
}

func (r *Runner) escape(text string) string {
	if r.Teller == nil {
		return text
	}
	return r.Teller.Escape(text)
}
