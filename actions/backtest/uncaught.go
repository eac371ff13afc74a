package backtest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/cluster"
)

// Bounds on the logs that are read only to group the failures that no rule acts on: the
// newest of each job and failure reason, and in all.
const (
	maxLogsOfJob = 20
	maxLogs      = 500
	maxJobs      = 5 // names in a group
	maxClusters  = maxLogs
)

// uncaught groups the failures that no rule acts on by their class, their reason and the
// telling line of their logs, with what varies masked.
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
		results[i].read, results[i].line = true, joblog.Telling(strings.Join(joblog.Ending(text), ""))
		results[i].class, err = inForce.FailureClass(ctx, e, facts)
		return err
	}, func(n int) { b.Progress("logs", n, len(s.uncaught)) })
	if err != nil {
		return Uncaught{}, err
	}
	type key struct {
		class, reason string
		cluster       *cluster.Group
	}
	groups, tree := map[key]*Group{}, cluster.New(maxClusters)
	all := Uncaught{Failures: len(s.uncaught), Classes: map[string]int{}}
	for i, f := range slices.Backward(s.uncaught) { // the oldest first, as package unknown has it
		if results[i].read {
			all.LogsRead++
		}
		words := cluster.Words(results[i].line)
		k := key{results[i].class, f.run.FailureReason, tree.Add(words)}
		g := groups[k]
		if g == nil {
			g = &Group{Class: k.class, Reason: k.reason, First: f.at}
			if k.cluster != nil {
				g.Cluster = cluster.ID(words)
			}
			groups[k] = g
		}
		all.Classes[k.class]++
		g.Count, g.Last, g.Line, g.URL = g.Count+1, f.at, results[i].line, f.run.URL
		g.addJob(f.run.Name)
		if passed, ok := tried(f.pipeline, f.run); ok && passed {
			g.Passed++
		} else if ok {
			g.Failed++
		}
	}
	for k, g := range groups {
		if k.cluster != nil {
			g.Text = k.cluster.Text()
		}
	}
	for _, g := range slices.SortedFunc(maps.Values(groups), func(a, b *Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Reason, b.Reason))
	}) {
		all.Groups = append(all.Groups, *g)
	}
	return all, nil
}

// addJob adds the name of a job, newer than those before it.
func (g *Group) addJob(name string) {
	if i := slices.Index(g.Jobs, name); i >= 0 {
		g.Jobs = slices.Delete(g.Jobs, i, i+1)
	}
	g.Jobs = slices.Insert(g.Jobs, 0, name)
	g.Jobs = g.Jobs[:min(len(g.Jobs), maxJobs)]
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
