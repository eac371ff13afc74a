package catchup_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/storetest/await"
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
	if o.rules, err = rulefile.Load(rulefile.Options{Capacity: limits.NewCapacity()}, rulefile.Source{Name: "rules.yaml", Data: []byte(text)}); err != nil {
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

// firstEvent delivers an event that no rule wants: the project becomes known.
func (o *outage) firstEvent() {
	o.Helper()
	o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"})
	o.gitlab.Flush()
	o.waitKnown()
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

// A project begins with its first delivery: serve's rounds ignore jobs that waited,
// had ended or whose deliveries had failed before, and find later ones. With
// --since all of them are found, once.
func TestAProjectBeginsWithItsFirstEvent(t *testing.T) {
	o := newOutage(t)
	o.setRules(beginningRules)
	o.off.Store(true)
	o.waiting() // its deliveries fail, and are listed
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	o.firstEvent()
	o.work()
	o.rounds()
	o.want("before the first event", map[string]int{})

	o.off.Store(true)
	o.waiting()
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	o.rounds()
	after := map[string]int{"play deploy-staging": 1, "retry rspec": 1, "retry trigger": 1}
	o.want("missed since", after)

	o.since = o.clock.Now().Add(-20 * time.Hour)
	for range 2 {
		o.catchUp()
		o.work()
		o.want("typed", map[string]int{"play deploy-staging": 2, "retry rspec": 2, "retry trigger": 2})
	}
}

// Rules begin when they come into force: events that other rules evaluated are not
// evaluated again, neither when a rule is added nor when one comes back.
func TestRulesDoNotReachBack(t *testing.T) {
	o := newOutage(t)
	other := "version: 1\nrules: [{name: other, on: job, if: 'job.name == \"nothing\"', notify: [{channel: ci}]}]"
	o.setRules(other)
	o.firstEvent()
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

// Each rule has its own beginning: an event that was missed before a rule was
// added is caught up with by the rules in force then, and not by the new one.
func TestAnEditKeepsOtherRulesFromNothing(t *testing.T) {
	_, retries, _ := strings.Cut(beginningRules, "allow_stale: true}]\n") // the second rule alone
	retries, _, _ = strings.Cut("version: 1\nrules:\n"+retries, "  - name: retry-trigger-jobs")
	for _, test := range []struct {
		name string
		edit string
		want map[string]int
	}{
		{"rules are added before and behind it", beginningRules, map[string]int{"retry rspec": 1}},
		{"only a comment is added", "# all is well\n" + retries, map[string]int{"retry rspec": 1}},
		{"it is changed, too", strings.Replace(beginningRules, "retry: {allow_stale: true}", "retry: {allow_stale: true, delay: 1s}", 1), map[string]int{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOutage(t)
			o.setRules(retries)
			o.firstEvent()
			o.catchUp()
			o.work()
			o.clock.Advance(5 * time.Minute)
			o.off.Store(true)
			o.waiting()
			o.clock.Advance(5 * time.Minute)
			o.off.Store(false)
			o.setRules(test.edit) // and a restart
			o.rounds()
			o.want("missed before the edit", test.want)
		})
	}
}

// A decision that ended failed is made again by --since, once for each failure; one
// that was done is not.
func TestFailedIsMadeAgainBySince(t *testing.T) {
	o := newOutage(t)
	o.setRules(beginningRules)
	o.firstEvent()
	o.catchUp()
	refuse := func() {
		o.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/retry", Status: http.StatusForbidden, Times: 1})
	}
	refuse()
	p := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "deploy-staging", When: "manual", AllowFailure: true})
	o.fail(p.ID, "rspec", "stuck_or_timeout_failure")
	o.gitlab.Flush()
	o.work()
	o.clock.Advance(5 * time.Minute)
	o.rounds()
	o.want("refused, and left alone by serve", map[string]int{"retry rspec": 1, "play deploy-staging": 1})

	o.since = o.clock.Now().Add(-3 * time.Hour)
	refuse()
	for i, want := range []int{2, 3, 3, 3} { // refused once more, made, and then left alone
		o.catchUp()
		o.work()
		o.want(fmt.Sprintf("--since, number %d", i+1), map[string]int{"retry rspec": want, "play deploy-staging": 1})
	}
	if status := o.gitlab.Latest(p.ID, "rspec").Status; status != "pending" {
		t.Errorf("rspec is %s, want pending", status)
	}
}

// A rule that comes into force during a round, or while its events wait, does not
// reach back either.
func TestRulesDoNotReachBackFromARound(t *testing.T) {
	for _, test := range []struct {
		name string
		load func(o *outage, load func()) *catchup.Finder
	}{
		{"during it", func(o *outage, load func()) *catchup.Finder {
			return o.newCatchUp(&loadingHistory{o.client, load})
		}},
		{"after it, before its events are evaluated", func(o *outage, _ func()) *catchup.Finder {
			return o.newCatchUp(o.client)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOutage(t)
			first := "version: 1\nrules: [{name: first, on: job, if: 'job.status == \"failed\" and job.name == \"nothing\"', notify: [{channel: ci}]}]"
			o.setRules(first)
			o.firstEvent()
			o.catchUp()
			o.work()
			o.clock.Advance(5 * time.Minute)
			o.off.Store(true)
			o.waiting()
			o.clock.Advance(5 * time.Minute)
			o.off.Store(false)
			var loaded time.Time
			load := func() {
				o.clock.Advance(time.Second)
				o.setRules(beginningRules)
				loaded = o.clock.Now()
			}
			if _, err := test.load(o, load).Round(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if loaded.IsZero() {
				load()
			}
			o.ruleSince = func(string) time.Time { return loaded }
			o.work()
			o.rounds()
			o.want("missed before the rule", map[string]int{})
		})
	}
}

// loadingHistory loads rules when a project's jobs are listed.
type loadingHistory struct {
	*gitlab.Client
	load func()
}

func (l *loadingHistory) ProjectJobs(ctx context.Context, project int64, _ ...string) iter.Seq2[gitlab.Job, error] {
	l.load()
	return l.Client.ProjectJobs(ctx, project, "failed", "manual")
}

// A rule that was away between two rounds counts as new, also after a restart.
func TestRulesAreRecordedBetweenRounds(t *testing.T) {
	o := newOutage(t)
	o.setRules(beginningRules)
	o.firstEvent()
	o.catchUp()
	o.clock.Advance(time.Minute)

	kept := func(key string) string {
		value, err := o.db.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(value)
	}
	recorded, watermark := keys.RulesInForce(o.client.Instance()), keys.CaughtUp(o.client.Instance(), o.project.ID)
	before, round := kept(recorded), kept(watermark)
	replaced := make(chan struct{}, 1)
	c := o.newCatchUp(nil)
	c.Every, c.RulesReplaced = time.Hour, replaced
	stop := inBackground(c.Run)
	await.Until(t, "the first round has ended", func() bool { return kept(watermark) != round })
	o.setRules("version: 1\nrules: [{name: other, on: job, if: 'job.name == \"nothing\"', notify: [{channel: ci}]}]")
	replaced <- struct{}{}
	await.Until(t, "the rules are recorded", func() bool { return kept(recorded) != before })
	stop()

	o.off.Store(true)
	o.waiting()
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	o.setRules(beginningRules) // after a restart
	o.rounds()
	o.want("missed while the rules were away", map[string]int{})
}
