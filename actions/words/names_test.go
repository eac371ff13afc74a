package words_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestNames(t *testing.T) {
	t.Parallel()
	var d event.Decision
	d.Pipeline.ID, d.Pipeline.Status = 70, "failed"
	d.Job.ID, d.Job.Name, d.Job.Status, d.Job.FailureReason = 1977, "rspec", "failed", "script_failure"
	with := func(verb string, change func(*event.Decision)) *event.Decision {
		d := d
		d.Action.Verb = verb
		change(&d)
		return &d
	}
	as := func(*event.Decision) {}
	for _, c := range []struct {
		d             *event.Decision
		action, short string
	}{
		{with(event.VerbRetry, as), "retry job 1977 rspec", "retry of rspec"},
		{with(event.VerbPlay, func(d *event.Decision) { d.Bridge = true }), "play trigger job 1977 rspec", "play of rspec"},
		{with(event.VerbRetryPipeline, as), "retry pipeline 70", "retry of pipeline 70"},
	} {
		if action, of := words.Action(c.d), words.ActionOf(c.d); action != c.action || of != c.short {
			t.Errorf("%q, %q, want %q, %q", action, of, c.action, c.short)
		}
	}
	if got, want := words.Event(&d.Event), "job 1977 rspec, failed (script_failure)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	d.Meta.Kind = event.KindPipeline
	if got, want := words.Event(&d.Event), "pipeline 70, failed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
