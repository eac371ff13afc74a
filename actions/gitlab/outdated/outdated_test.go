package outdated_test

import (
	"context"
	"iter"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/outdated"
	"github.com/pipesteward/pipesteward/rules/event"
)

// listed are the pipelines of one ref, newest first.
type listed []event.Pipeline

func (l listed) Pipeline(_ context.Context, _, id int64) (event.Pipeline, error) {
	for _, p := range l {
		if p.ID == id {
			return p, nil
		}
	}
	return event.Pipeline{}, nil
}

func (l listed) PipelinesOfRef(context.Context, int64, string, int64) iter.Seq2[event.Pipeline, error] {
	return func(yield func(event.Pipeline, error) bool) {
		for _, p := range l {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func TestBy(t *testing.T) {
	old := event.Pipeline{ID: 1, Ref: "main", SHA: "a", Source: "push", Status: "running"}
	for _, tt := range []struct {
		name    string
		newer   event.Pipeline
		old     func(*event.Pipeline)
		deploys bool
		want    int64
	}{
		{name: "a newer commit", newer: event.Pipeline{ID: 2, Ref: "main", SHA: "b", Source: "push"}, want: 2},
		{name: "the same commit", newer: event.Pipeline{ID: 2, Ref: "main", SHA: "a", Source: "push"}},
		{name: "another ref", newer: event.Pipeline{ID: 2, Ref: "other", SHA: "b", Source: "push"}},
		{name: "a skipped pipeline", newer: event.Pipeline{ID: 2, Ref: "main", SHA: "b", Source: "push", Status: "skipped"}},
		{
			name: "a push after a schedule", newer: event.Pipeline{ID: 2, Ref: "main", SHA: "b", Source: "push"},
			old: func(p *event.Pipeline) { p.Source = "schedule" },
		},
		{
			name: "a push after a schedule that deploys", newer: event.Pipeline{ID: 2, Ref: "main", SHA: "b", Source: "push"},
			old: func(p *event.Pipeline) { p.Source = "schedule" }, deploys: true, want: 2,
		},
		{name: "a pipeline with an unknown root", newer: event.Pipeline{ID: 2, Ref: "main", SHA: "b", Source: "pipeline"}},
	} {
		p := old
		if tt.old != nil {
			tt.old(&p)
		}
		got, err := outdated.By(t.Context(), listed{tt.newer, p}, 7, p, 0, tt.deploys)
		if err != nil || got != tt.want {
			t.Errorf("%s: outdated by %d (%v), want %d", tt.name, got, err, tt.want)
		}
	}
}
