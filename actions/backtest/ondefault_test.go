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
