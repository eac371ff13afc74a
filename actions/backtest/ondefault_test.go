package backtest_test

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
)

// TestOnDefault: on_default() is as it was when the event happened.
func TestOnDefault(t *testing.T) {
	t.Parallel()
	const rules = `
version: 1
rules:
  - {name: red, on: job, if: 'job.status == "failed" and on_default().failed and on_default().failure_reason == "script_failure"', notify: [{channel: ci}]}
  - {name: green, on: job, if: 'job.status == "failed" and on_default().status == "success"', notify: [{channel: ci}]}
  - {name: line, on: job, if: 'job.status == "failed" and on_default().since_sha startsWith "0" and on_default().since < now() - duration("100m")', notify: [{channel: ci}]}
  - {name: reports, on: job, if: 'job.status == "failed" and len(tests()) > 0', notify: [{channel: ci}]}
`
	p := newPast(t)
	branch := func(after time.Duration) {
		of := p.pipeline(after, func(p *history.Pipeline) { p.Ref = "feature" })
		p.run(of, "lint", "failed", "script_failure", after, time.Minute)
	}
	main := func(after time.Duration, status string) {
		of := p.pipeline(after, func(p *history.Pipeline) { p.Status = status })
		p.run(of, "lint", status, "script_failure", after, time.Minute)
	}
	branch(30 * time.Minute)                    // nothing is known
	main(time.Hour, "success")                  // of the default branch: likewise
	branch(2 * time.Hour)                       // green
	main(3*time.Hour, "failed")                 // its own pipeline does not count: green
	branch(3*time.Hour + time.Second)           // ends after that: red
	main(4*time.Hour, "failed")                 // red
	branch(5 * time.Hour)                       // red, for more than 100 minutes
	main(5*time.Hour+30*time.Second, "success") // ends after the one before
	branch(6 * time.Hour)                       // green
	r := p.must(rules)
	for name, want := range map[string]int{"red": 3, "green": 3, "line": 1} {
		if got := rule(r, name); got.Fired != want || got.Unknown["on_default() is not known in a backtest: no pipeline of the default branch is known that had ended and has the job"] != 1 {
			t.Errorf("%s fired %d times, want %d: %v %v", name, got.Fired, want, got.Unknown, got.Errors)
		}
	}
	if n := rule(r, "reports").Unknown["tests() is not known in a backtest: GitLab counts how often tests failed as of now"]; n != 7 {
		t.Errorf("tests() is unknown %d times, want 7", n)
	}
}

// TestOnDefaultWithoutTheJob: that the default branch does not have a job is known once as many
// pipelines are as the service looks at.
func TestOnDefaultWithoutTheJob(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	for i, source := range []string{"push", "push", "push", "push", "push", "push", "push", "push", "push", "schedule", "push"} {
		after := time.Duration(i) * time.Hour
		of := p.pipeline(after, func(p *history.Pipeline) { p.Source = source })
		p.run(of, "rspec", "success", "", after, time.Minute)
		if i >= 9 {
			branch := p.pipeline(after+time.Minute, func(p *history.Pipeline) { p.Ref = "feature" })
			p.run(branch, "danger", "failed", "script_failure", after+2*time.Minute, time.Minute)
		}
	}
	r := p.must(`
version: 1
rules:
  - {name: not-red, on: job, if: 'job.status == "failed" and not on_default().failed', notify: [{channel: ci}]}
`)
	if got := rule(r, "not-red"); got.Fired != 1 || got.Unknown["on_default() is not known in a backtest: no pipeline of the default branch is known that had ended and has the job"] != 1 {
		t.Errorf("fired %d times, want once, with 10 pipelines: %v %v", got.Fired, got.Unknown, got.Errors)
	}
}
