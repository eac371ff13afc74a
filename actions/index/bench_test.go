package index_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/index"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// entries is a journal in memory, oldest first, of which the places are from 1. Nothing is
// added or amended.
type entries []store.Entry

func (j entries) Entries(_ context.Context, cursor string, n int) (page []store.Entry, next string, err error) {
	before, err := store.ParseCursor(cursor)
	to := len(j)
	if before != 0 {
		to = int(before) - 1
	}
	from := max(0, to-n)
	page = slices.Clone(j[from:to])
	slices.Reverse(page)
	if from > 0 {
		next = j[from].Cursor()
	}
	return page, next, err
}

func (j entries) EntriesOf(_ context.Context, ids ...string) (page []store.Entry, err error) {
	for _, id := range ids {
		page = append(page, j[slices.IndexFunc(j, func(e store.Entry) bool { return e.ID == id })])
	}
	return page, nil
}

func (entries) Amended(context.Context, string, int) (ids []string, next string, err error) {
	return nil, "", nil
}

// ordinary returns a decision with texts of ordinary lengths, about a job of 500 projects.
func ordinary(i int) (o event.Outcome) {
	path := fmt.Sprintf("platform/services/service-%d", i%500)
	o.ID = fmt.Sprintf("retry:https://gitlab.example.com:%d:%d:failed@1795392000000000000", i%500, 5_000_000_000+i)
	o.Rule, o.Action.Verb, o.Result, o.Reason = fmt.Sprint("retry-infrastructure-", i%20), event.VerbRetry, event.ResultDone, fmt.Sprintf("attempt %d of 3, after 30s", i%3)
	o.Project = event.Project{ID: int64(i % 500), Path: path, URL: "https://gitlab.example.com/" + path}
	o.Pipeline = event.Pipeline{ID: int64(1_000_000_000 + i/4), Ref: fmt.Sprint("feature/PROJ-", i/40, "-faster-builds"), SHA: fmt.Sprintf("%040d", i)}
	o.Job = event.Job{ID: int64(5_000_000_000 + i), Name: fmt.Sprintf("rspec unit %d/12", i%12), Ref: o.Pipeline.Ref, FailureReason: "runner_system_failure", FailureClass: "runner"}
	o.Commit = event.Commit{Title: fmt.Sprint("Cache the compiled assets between builds, part ", i/40), Message: "A message of a commit."}
	o.User.Username, o.MergeRequest.Title = fmt.Sprint("developer", i%300), fmt.Sprint("PROJ-", i/40, ": faster builds")
	return o
}

// BenchmarkIndex measures how long the index of 100,000 decisions takes to build, but for its
// pauses, how much memory a head takes, and how long searches take that look at all heads.
func BenchmarkIndex(b *testing.B) {
	const n = 100_000
	j := make(entries, n)
	for i := range j {
		o := ordinary(i)
		body, err := json.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		j[i] = store.Entry{ID: o.ID, Seq: uint64(i + 1), At: time.Now(), Body: body}
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first one found dead in its finalizers
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	x := newIndex(j, time.Now, index.MaxHeads)
	if err := x.Build(b.Context()); err != nil {
		b.Fatal(err)
	}
	perHead := (heap() - before) / n
	for _, c := range []struct {
		name  string
		query event.DecisionQuery
	}{
		{"of a job", event.DecisionQuery{Job: 5_000_000_001}},
		{"of projects", event.DecisionQuery{Project: "platform/services/service-77*", Result: event.ResultFailed}},
		{"with a text", event.DecisionQuery{Text: "no such thing"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.query.Limit = 50
			for b.Loop() {
				if _, _, err := x.Find(b.Context(), c.query); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(perHead, "B/head")
		})
	}
}
