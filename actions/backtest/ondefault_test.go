package backtest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
)

const redOnMain = `
version: 1
rules:
  - {name: red, on: job, if: 'job.status == "failed" and job.ref == "feature" and on_default().failed', actions: [retry]}
  - {name: green, on: job, if: 'job.status == "failed" and job.ref == "feature" and on_default().status == "success"', actions: [retry]}
  - {name: since-first, on: job, if: 'job.status == "failed" and job.ref == "feature" and on_default().since_sha endsWith "02"', actions: [retry]}
`

// TestOnDefaultAsOfTheEvent: on_default() tells of the last pipeline of the default branch that
// had ended when the event came, and is not known where that was not read.
func TestOnDefaultAsOfTheEvent(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	// main adds a pipeline of the default branch, in which lint ends as it says.
	main := func(p *past, after time.Duration, status string) *history.Pipeline {
		of := p.pipeline(after, func(of *history.Pipeline) { of.Status = status })
		p.run(of, "lint", status, "script_failure", after, time.Minute)
		return of
	}
	const before = "on_default() is not known in a backtest: it needs a pipeline that began before the jobs that were read"
	const manual = "on_default() is not known in a backtest: whether a pipeline had ended then is not certain: its last jobs began much later, perhaps manual ones"
	for _, test := range []struct {
		name  string
		past  func(p *past) // 101, 102, …: pipelines of main; the event is 100 hours after the start
		fired []string
		why   string // it is not known
	}{
		{"no pipeline that was read", func(*past) {}, nil, before},
		{"it passed", func(p *past) { main(p, hour, "success") }, []string{"green"}, ""},
		{"since the first failure", func(p *past) {
			main(p, hour, "success")
			main(p, 2*hour, "failed")
			main(p, 3*hour, "failed")
		}, []string{"red", "since-first"}, ""},
		{"since before what was read", func(p *past) { main(p, 2*hour, "failed") }, nil, before},
		{"one that began before what was read", func(p *past) {
			main(p, -25*hour, "success")
			main(p, 2*hour, "failed")
		}, nil, before},
		{"later ones do not count", func(p *past) {
			main(p, hour, "success")
			main(p, 101*hour, "failed")
		}, []string{"green"}, ""},
		{"nor one that runs", func(p *past) {
			main(p, hour, "success")
			of := main(p, 99*hour, "failed")
			p.run(of, "rspec", "success", "", 99*hour, 3*hour)
		}, []string{"green"}, ""},
		{"one that was run again later had failed", func(p *past) {
			main(p, hour, "success")
			of := main(p, 2*hour, "failed")
			of.Status = "success"
			p.run(of, "lint", "success", "", 101*hour, time.Minute)
		}, []string{"red", "since-first"}, ""},
		{"one with a job that began later, perhaps a manual one", func(p *past) {
			main(p, hour, "success")
			of := main(p, 2*hour, "success")
			p.run(of, "deploy", "success", "", 101*hour, time.Minute, func(r *history.Run) { r.CreatedAt = start.Add(2 * hour) })
		}, nil, manual},
	} {
		p := newPast(t)
		test.past(p)
		of := p.pipeline(100*hour-time.Minute, func(of *history.Pipeline) { of.ID, of.Ref = 1000, "feature" })
		p.run(of, "lint", "failed", "script_failure", 100*hour-time.Minute, time.Minute)
		r := p.must(redOnMain)
		var fired []string
		for _, rule := range r.Rules {
			if rule.Fired > 0 {
				fired = append(fired, rule.Name)
			}
			if (test.why != "") != (rule.Unknown[test.why] == 1) || len(rule.Errors) > 0 {
				t.Errorf("%s: rule %s is not known because of %v, want %q; errors %v", test.name, rule.Name, rule.Unknown, test.why, rule.Errors)
			}
		}
		if diff := cmp.Diff(test.fired, fired); diff != "" {
			t.Errorf("%s: rules that fired (-want +got):\n%s", test.name, diff)
		}
	}
}

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
		if got := rule(r, name); got.Fired != want || got.Unknown["on_default() is not known in a backtest: it needs a pipeline that began before the jobs that were read"] != 1 {
			t.Errorf("%s fired %d times, want %d: %v %v", name, got.Fired, want, got.Unknown, got.Errors)
		}
	}
	if n := rule(r, "reports").Unknown["tests() is not known in a backtest: GitLab counts how often tests failed as of now"]; n != 7 {
		t.Errorf("tests() is unknown %d times, want 7", n)
	}
}
