package main

import (
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// `make soak` has 2,000 failures in 200 pipelines.
var slackPipelines = flag.Int("slack.pipelines", 10, "in how many `pipelines` TestSlackFaults has jobs fail, 10 in each; Slack fails in every way once for each 20 pipelines")

const (
	maxRound       = 20 // pipelines
	pipelineJobs   = 10
	digestInterval = 10 * time.Second // the shortest that rule files may have
)

var slackFaultsRules = fmt.Sprintf(`
version: 1
defaults: {channel: "#{{ project.namespace }}", group: {burst: 1, wait: %[1]v, interval: %[1]v}}
rules:
  - {name: tell, on: job, if: 'job.status == "failed"', notify: [{text: "{{ job.name }} failed"}]}
`, digestInterval)

// slackFaults are the ways in which Slack fails for a while.
var slackFaults = []struct {
	name   string
	revoke bool
	faults []slacktest.Fault // the last one until it is mended
}{
	{name: "limits each method", faults: []slacktest.Fault{
		{Method: "chat.postMessage", Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second, Times: 4},
		{Method: "chat.update", Status: http.StatusTooManyRequests, RetryAfter: 90 * time.Second, Times: 4},
		{Error: "ratelimited", Times: 1000},
	}},
	{name: "is down, or only its answers are lost", faults: []slacktest.Fault{
		{Method: "chat.postMessage", AfterEffect: true, Status: http.StatusBadGateway, Times: 2},
		{Method: "chat.update", AfterEffect: true, Status: http.StatusInternalServerError, Times: 2},
		{Method: "chat.postMessage", AfterEffect: true, Error: "fatal_error", Times: 2},
		{Status: http.StatusServiceUnavailable, Times: 1000},
	}},
	{name: "knows the token no more", revoke: true},
	{name: "hangs", faults: []slacktest.Fault{
		{Method: "chat.postMessage", Delay: time.Hour, AfterEffect: true, Cut: true, Times: 2},
		{Method: "chat.postMessage", Delay: time.Hour, Times: 2}, // takes effect when the client is gone
		{Delay: time.Hour, Cut: true, Times: 1000},
	}},
	{name: "is a portal that redirects", faults: []slacktest.Fault{{Redirect: "https://portal.example.com/login", Times: 1000}}},
	{name: "cuts connections", faults: []slacktest.Fault{
		{Method: "chat.postMessage", AfterEffect: true, Cut: true, Times: 3},
		{Method: "chat.update", AfterEffect: true, Cut: true, Times: 2},
		{Method: "chat.postMessage", AfterEffect: true, Body: `{"ok": true, "channel": "C`, Times: 2},
		{Cut: true, Times: 1000},
	}},
	{name: "is a proxy's page", faults: []slacktest.Fault{
		{Body: "<html>maintenance</html>", Times: 2},
		{Status: http.StatusForbidden, Times: 1000},
	}},
}

// slackChannels are where people are notified. The bot can post to the first ones only,
// until somebody opens the others.
var slackChannels = []slacktest.Channel{
	{Name: "open"},
	{Name: "wide"},
	{Name: "private", Private: true, NotMember: true}, // channel_not_found
	{Name: "public", NotMember: true},                 // not_in_channel
	{Name: "archived", Archived: true},
}

// TestSlackFaults: jobs fail in many pipelines, two processes notify people, and Slack fails
// in every way meanwhile, one after the other. Each time one of the processes is killed while
// the other goes on, and started again. Once all is mended, each failure was told once, with
// at most one message for each pipeline and one digest for each channel and interval.
//
// No time is waited for: what waits in the queue is made due, and after each outage both
// processes are killed, and all that Redis has is made ten minutes older before they start.
func TestSlackFaults(t *testing.T) {
	await.Long(t, "processes are started a dozen times")
	t.Parallel()
	s := newSlackTrial(t)
	for begun := 0; begun < *slackPipelines; begun += maxRound {
		s.round(min(*slackPipelines-begun, maxRound))
	}
	for _, c := range slackChannels {
		s.slack.AddChannel(slacktest.Channel{Name: c.Name, Private: c.Private})
	}
	s.laterStartedAgain()
	s.hasten("the queue is empty", func() bool {
		d, ok := s.replica(0).depth()
		return ok && d.queued() == 0
	})
	s.check()
}

// slackTrial is two processes that notify people in a Slack that fails.
type slackTrial struct {
	*fleet
	redis     *redistest.Server
	jobs      map[int64]string // all that failed: in which channel people are notified of it
	delivered int
	kills     int
}

func newSlackTrial(t *testing.T) *slackTrial {
	t.Helper()
	env := newEnvironment(t)
	env.write("rules.yaml", slackFaultsRules)
	for _, c := range slackChannels {
		env.slack.AddChannel(c)
	}
	server := redistest.Start(t)
	return &slackTrial{fleet: env.serveFleet(2, server.URL(), "--catch-up-every", "0"), redis: server, jobs: map[int64]string{}}
}

// round has jobs of some pipelines fail while Slack works first, and then fails in each way.
func (s *slackTrial) round(pipelines int) {
	s.Helper()
	failures := make([][]*delivery, 1+len(slackFaults))
	for n := range pipelines {
		channel := slackChannels[n%len(slackChannels)].Name
		project := s.gitlab.AddProject(gitlabtest.Project{Path: channel + "/shop"})
		jobs := make([]gitlabtest.Job, pipelineJobs)
		for i := range jobs {
			jobs[i].Name = fmt.Sprintf("job-%d", i)
		}
		for i, job := range s.gitlab.Jobs(s.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, jobs...).ID) {
			s.gitlab.Finish(job.ID, "failed", "script_failure")
			s.jobs[job.ID] = channel
			at := (n/len(slackChannels) + i) % len(failures)
			failures[at] = append(failures[at], s.deliveryOf(job))
		}
	}
	posts := len(s.slack.Posts())
	s.deliverAll(failures[0])
	s.hasten("a message is posted", func() bool { return len(s.slack.Posts()) > posts })
	for i, fault := range slackFaults {
		for _, f := range fault.faults {
			s.slack.Fail(f)
		}
		if fault.revoke {
			s.slack.Revoke("token_revoked")
		}
		calls := s.calls()
		s.deliverAll(failures[1+i])
		s.hasten("Slack "+fault.name, func() bool { return s.calls() > calls })
		s.kill(i % 2)
		s.replace(i % 2)
		s.slack.ClearFaults()
		s.slack.SetToken(testSlack)
		s.laterStartedAgain()
	}
}

// kill kills one of the processes.
func (s *slackTrial) kill(i int) {
	s.kills++
	s.replica(i).kill()
}

// calls returns how often Slack was called to notify people.
func (s *slackTrial) calls() int {
	return s.slack.Calls("chat.postMessage") + s.slack.Calls("chat.update")
}

// deliverAll delivers events to both processes, and waits until their outcomes are in the
// journal: an event is given up that is being processed at five kills in a row.
func (s *slackTrial) deliverAll(all []*delivery) {
	s.Helper()
	var sending sync.WaitGroup
	for _, d := range all {
		sending.Go(func() { s.deliver(s.Context(), d) })
	}
	sending.Wait()
	s.delivered += len(all)
	s.hasten("all outcomes are in the journal", func() bool { return s.redis.Do("zcard", redis.DefaultPrefix+"journal") == int64(s.delivered) })
}

// due makes due what waits in the queue, and has channels take a message again; a digest, with
// its time in its id, is made due only where ARGV[2] says so.
const due = `
local waiting = ARGV[1] .. 'waiting'
for _, id in ipairs(redis.call('ZRANGE', waiting, 0, -1)) do
  if ARGV[2] == '1' or not string.match(id, '^digest:') then redis.call('ZADD', waiting, 'XX', 0, id) end
end
for _, bucket in ipairs(redis.call('KEYS', ARGV[1] .. 'rate:slack:*')) do redis.call('DEL', bucket) end
redis.call('PUBLISH', waiting, '') -- wakes the processes
return 1`

// hasten makes due what waits in the queue until the condition is true, but no digest while
// others may still be gathered in it.
func (s *slackTrial) hasten(what string, holds func() bool) {
	s.Helper()
	s.replica(0).eventually(what, func() bool {
		if holds() {
			return true
		}
		if d, ok := s.replica(0).depth(); ok && d.Due == 0 {
			s.redis.Do("eval", due, 0, redis.DefaultPrefix, d.Leased == 0)
		}
		return false
	})
}

// older makes all that the store has older, by so many milliseconds.
const older = `
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, math.max(left - ARGV[1], 1)) end
  if redis.call('TYPE', key).ok == 'zset' then
    local all = redis.call('ZRANGE', key, 0, -1)
    for _, member in ipairs(all) do redis.call('ZINCRBY', key, -1000 * ARGV[1], member) end
  end
end
return 1`

// laterStartedAgain kills both processes, lets ten minutes pass, and starts them again. No
// call of theirs takes effect in between.
func (s *slackTrial) laterStartedAgain() {
	s.Helper()
	for i := range 2 {
		s.kill(i)
	}
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.slack.URL()+"api.test", http.NoBody)
	if err != nil {
		s.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	s.replica(0).eventually("no call is on its way", func() bool { return s.slack.Clients() == 0 })
	s.redis.Do("eval", older, 0, (10 * time.Minute).Milliseconds())
	for i := range 2 {
		s.replace(i)
	}
}

// check wants each failure told once.
func (s *slackTrial) check() {
	s.Helper()
	outcomes, inDigest, decided := map[string]event.Outcome{}, map[string]int{}, map[int64]int{}
	for _, o := range s.replica(0).outcomes() {
		decided[o.Job.ID]++
		if len(o.Notifications) != 1 || o.Notifications[0].Result != event.NotificationSent || o.Notifications[0].Channel != "#"+s.jobs[o.Job.ID] {
			s.Errorf("%s: notifications %+v, want one that is sent to #%s", o.ID, o.Notifications, s.jobs[o.Job.ID])
			continue
		}
		if id := o.Notifications[0].Digest; id != "" {
			inDigest["announcement:"+id]++
		} else {
			outcomes[o.ID+":"+o.Result] = o
		}
	}
	for job := range s.jobs {
		if decided[job] != 1 {
			s.Errorf("job %d: %d outcomes, want 1", job, decided[job])
		}
	}
	posts, roots, digests := map[string]int{}, map[int64]int{}, 0
	for _, m := range s.slack.Posts() {
		id, _ := m.Metadata.EventPayload["id"].(string)
		posts[id]++
		o, alone := outcomes[id]
		switch {
		case alone && m.ThreadTS == "":
			roots[o.Pipeline.ID]++
		case alone:
		case inDigest[id] > 0:
			digests++
			s.checkDigest(m, id, inDigest[id])
		default:
			s.Errorf("#%s has a message that the journal has not: %s %s", m.Channel, id, m.Plain())
		}
	}
	for id, n := range posts {
		if n > 1 {
			s.Errorf("%s was posted %d times", id, n)
		}
	}
	for id := range outcomes {
		if posts[id] == 0 {
			s.Errorf("%s was not posted", id)
		}
	}
	for id, n := range inDigest {
		if posts[id] == 0 {
			s.Errorf("%s, with %d outcomes, was not posted", id, n)
		}
	}
	for pipeline, n := range roots {
		if n > 1 {
			s.Errorf("pipeline %d has %d messages in the channel", pipeline, n)
		}
	}
	if d, _ := s.replica(0).depth(); d.Dead > 0 {
		_, list := s.replica(0).get("/api/v1/dead")
		s.Errorf("%d records are dead: %s", d.Dead, list)
	}
	if w := s.replica(0).notices(); w.Waiting > 0 || len(w.Addresses) > 0 {
		s.Errorf("notifications wait: %+v", w)
	}
	s.Logf("%d failures: %d messages, %d replies, %d digests, %d kills", len(s.jobs), len(roots), len(outcomes)-len(roots), digests, s.kills)
	if len(roots) == 0 || digests == 0 || len(outcomes) == len(roots) {
		s.Error("there are no messages, no replies or no digests")
	}
}

// checkDigest wants a digest of so many outcomes, the only one of its channel and interval:
// its id has both.
func (s *slackTrial) checkDigest(m slacktest.Message, id string, outcomes int) {
	s.Helper()
	var n int
	if _, err := fmt.Sscanf(m.Plain(), "📥 %d", &n); err != nil || n != outcomes {
		s.Errorf("%s is of %d outcomes in the journal, and says:\n%s", id, outcomes, m.Plain())
	}
	at := strings.LastIndexByte(id, ':')
	end, err := strconv.ParseInt(id[at+1:], 10, 64)
	if err != nil || end%int64(digestInterval/time.Second) != 0 || !strings.HasSuffix(id[:at], ":#"+m.Channel) {
		s.Errorf("digest %s in #%s is not that of an interval and the channel", id, m.Channel)
	}
}
