package main

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules"
)

const beginningRules = `
version: 1
rules:
  - name: deploy-staging
    on: job
    if: job.name == "deploy-staging" and job.status == "manual"
    actions: [play: {allow_stale: true}]
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {allow_stale: true}]
  - name: retry-trigger-jobs
    on: job
    if: job.bridge and job.status == "failed"
    actions: [retry: {allow_stale: true}]
`

// setRules puts other rules in force.
func (o *outage) setRules(text string) {
	o.Helper()
	var err error
	if o.rules, err = rules.Load(rules.Options{Capacity: rules.NewCapacity()}, rules.Source{Name: "rules.yaml", Data: []byte(text)}); err != nil {
		o.Fatal(err)
	}
}

// fail lets the latest run of a job fail.
func (o *outage) fail(pipeline int64, name, reason string) {
	job := o.gitlab.Latest(pipeline, name).ID
	o.gitlab.Run(job)
	o.gitlab.Finish(job, "failed", reason)
}

// waiting adds a pipeline in which one job waits for somebody, one has failed
// for a reason that a retry mends, and so has a trigger job.
func (o *outage) waiting() gitlabtest.Pipeline {
	p := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy-staging", When: "manual", AllowFailure: true},
		gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "trigger", Bridge: true})
	o.fail(p.ID, "rspec", "stuck_or_timeout_failure")
	o.gitlab.Finish(o.gitlab.Latest(p.ID, "trigger").ID, "failed", "api_failure")
	o.gitlab.Flush()
	return p
}

// rounds makes catch-up rounds for more than an hour, so that deep ones are
// among them.
func (o *outage) rounds() {
	o.Helper()
	for range 8 {
		o.catchUp()
		o.work()
		o.clock.Advance(10 * time.Minute)
	}
}

// A project begins with its first delivery: what waited, had ended or could not
// be delivered before is left alone by serve's rounds, what happens later is
// handled, and who types --since gets all of it, once.
func TestAProjectBeginsWithItsFirstEvent(t *testing.T) {
	o := newOutage(t)
	o.setRules(beginningRules)
	o.off.Store(true)
	o.waiting() // its deliveries fail, and are listed
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"})
	o.gitlab.Flush()
	o.waitKnown()
	o.work()
	o.rounds()
	o.want("what was before", map[string]int{})

	o.off.Store(true)
	o.waiting()
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	o.rounds()
	after := map[string]int{"play deploy-staging": 1, "retry rspec": 1, "retry trigger": 1}
	o.want("what was missed since", after)

	o.since = o.clock.Now().Add(-20 * time.Hour)
	for range 2 {
		o.catchUp()
		o.work()
		o.want("typed", map[string]int{"play deploy-staging": 2, "retry rspec": 2, "retry trigger": 2})
	}
}

// Rules begin when they come into force: what other rules looked at is not
// looked at again, neither when a rule is added nor when one comes back.
func TestRulesDoNotReachBack(t *testing.T) {
	o := newOutage(t)
	other := "version: 1\nrules: [{name: other, on: job, if: 'job.name == \"nothing\"', notify: [{channel: ci}]}]"
	o.setRules(other)
	o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"})
	o.gitlab.Flush()
	o.waitKnown()
	o.catchUp()
	o.waiting()
	o.work()
	o.clock.Advance(5 * time.Minute)
	o.setRules(beginningRules) // after a restart
	o.rounds()
	o.want("a new rule", map[string]int{})

	o.setRules(other)
	o.catchUp()
	o.clock.Advance(5 * time.Minute)
	o.waiting()
	o.work()
	o.clock.Advance(5 * time.Minute)
	o.setRules(beginningRules)
	o.rounds()
	o.want("a rule that comes back", map[string]int{})

	o.off.Store(true)
	o.waiting()
	o.off.Store(false)
	o.clock.Advance(5 * time.Minute)
	o.rounds()
	o.want("missed since", map[string]int{"play deploy-staging": 1, "retry rspec": 1, "retry trigger": 1})

	o.since = o.clock.Now().Add(-20 * time.Hour)
	for range 2 {
		o.catchUp()
		o.work()
		o.want("typed", map[string]int{"play deploy-staging": 3, "retry rspec": 3, "retry trigger": 3})
	}
}
