package backtest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/joblog"
)

// Bounds on the logs that are read only to group the failures that no rule acts on: the
// newest of each job and failure reason, and in all.
const (
	maxLogsOfJob = 20
	maxLogs      = 500
	maxJobs      = 5 // names in a group
)

// uncaught groups the failures that no rule acts on by their class, their reason and the
// telling line of their logs.
func (b *Backtest) uncaught(ctx context.Context, inForce *rules.Rules, s *sums) (Uncaught, error) {
	type found struct {
		class, line string
		read        bool
	}
	slices.SortStableFunc(s.uncaught, func(a, b failure) int { return b.at.Compare(a.at) })
	wanted := sampled(s.uncaught, b.Logs != nil)
	results := make([]found, len(s.uncaught))
	err := inParallel(ctx, len(s.uncaught), func(ctx context.Context, i int) error {
		f := s.uncaught[i]
		results[i].class = f.run.FailureClass
		if !wanted[i] {
			return nil
		}
		facts := asOf{f.timeline, b.Logs}
		e := f.timeline.event(f.moment, b.Events)
		text, err := facts.Log(ctx, e)
		var unknown *unknownError
		switch {
		case errors.As(err, &unknown):
			return nil
		case err != nil:
			return err
		}
		results[i].read, results[i].line = true, joblog.Line(text)
		results[i].class, err = inForce.FailureClass(ctx, e, facts)
		return err
	}, func(n int) { b.Progress("logs", n, len(s.uncaught)) })
	if err != nil {
		return Uncaught{}, err
	}
	type key struct{ class, reason, line string }
	groups := map[key]*Group{}
	all := Uncaught{Failures: len(s.uncaught), Classes: map[string]int{}}
	for i, f := range s.uncaught { // the newest first
		if results[i].read {
			all.LogsRead++
		}
		k := key{results[i].class, f.run.FailureReason, results[i].line}
		g := groups[k]
		if g == nil {
			g = &Group{Class: k.class, Reason: k.reason, Line: k.line, Last: f.at, URL: f.run.URL}
			groups[k] = g
		}
		all.Classes[k.class]++
		g.Count, g.First = g.Count+1, f.at
		if len(g.Jobs) < maxJobs && !slices.Contains(g.Jobs, f.run.Name) {
			g.Jobs = append(g.Jobs, f.run.Name)
		}
		if passed, ok := tried(f.pipeline, f.run); ok && passed {
			g.Passed++
		} else if ok {
			g.Failed++
		}
	}
	for _, g := range slices.SortedFunc(maps.Values(groups), func(a, b *Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Reason, b.Reason))
	}) {
		all.Groups = append(all.Groups, *g)
	}
	return all, nil
}

// sampled returns which of the failures, the newest first, have their logs read.
func sampled(all []failure, logs bool) []bool {
	type key struct {
		project      int64
		name, reason string
	}
	wanted, n, ofJob := make([]bool, len(all)), 0, map[key]int{}
	for i, f := range all {
		k := key{f.timeline.project.ID, f.run.Name, f.run.FailureReason}
		if !logs || n == maxLogs || ofJob[k] == maxLogsOfJob {
			continue
		}
		wanted[i] = true
		n++
		ofJob[k]++
	}
	return wanted
}
