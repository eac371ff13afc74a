package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// `make test` runs a short soak, `make soak` a long one.
var (
	soakDeliveries = flag.Int("soak.deliveries", 300, "how many `deliveries` TestSoak sends, a tenth of them duplicates")
	soakKills      = flag.Duration("soak.kills", 8*time.Second, "for how `long` TestSoak sends them, and kills replicas and Redis meanwhile")
	soakSeed       = flag.Uint64("soak.seed", 0, "the `seed` that a TestSoak printed, to send and kill the same again; 0: a new one")
)

const (
	soakReplicas   = 3
	soakFaults     = 0.05 // of GitLab's answers
	soakDuplicates = 0.1  // of the deliveries
	soakLarge      = 200  // one delivery of so many is as large as GitLab sends any

	soakRules = testRules + `
  - name: tell-of-failure
    on: pipeline
    if: pipeline.status == "failed"
    notify: [{text: "Pipeline {{ pipeline.id }} failed"}]
`
)

// Three replicas on one Redis work off a stream of deliveries, while GitLab
// answers every twentieth request with a fault, and replicas and Redis are
// killed at random and started again. Nothing may be lost, and nothing done
// twice. Slack has no faults and no limits here: with one message a second, as
// it allows in a channel, the long soak would take hours.
func TestSoak(t *testing.T) {
	await.Long(t, "it sends deliveries for a while, and kills replicas and Redis meanwhile")
	t.Parallel()
	s := newSoak(t)
	stop := s.stream(*soakKills/time.Duration(*soakDeliveries), s.next)
	for s.since() < *soakKills {
		s.watch(time.Second + time.Duration(s.fate.Int64N(int64(3*time.Second))))
		s.kill()
	}
	for !s.sentAll() {
		s.watch(time.Second)
	}
	deliveries := stop()
	for d, ok := s.replica(0).depth(); !ok || d.queued() > 0; d, ok = s.replica(0).depth() {
		s.watch(time.Second)
	}
	s.report(deliveries)
}

// soak is a fleet that has a bad time.
type soak struct {
	*fleet
	redis *redistest.Server
	began time.Time

	// What is sent, and used by the sender alone until all is closed.
	choice     *rand.Rand
	projects   []gitlabtest.Project
	left       int
	fresh      []*delivery // of the newest pipeline, not sent yet
	recent     []*delivery // sent, and good for a duplicate
	duplicates int
	large      int
	all        chan struct{} // closed when all is sent

	// What is done to it.
	fate         *rand.Rand
	replicaKills int
	redisKills   int

	shown  time.Time // when progress was
	memory []int     // bytes of a replica, every now and then
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat what is sent and killed: -soak.seed %d", seed)
	env := newEnvironment(t)
	env.write("rules.yaml", soakRules)
	env.gitlab.Chaos(seed, soakFaults)
	redis := redistest.Start(t, "--appendfsync", "always")
	s := &soak{
		fleet:  env.serveFleet(soakReplicas, redis.URL()),
		redis:  redis,
		began:  time.Now(),
		choice: rand.New(rand.NewPCG(seed, 1)),
		left:   *soakDeliveries,
		all:    make(chan struct{}),
		fate:   rand.New(rand.NewPCG(seed, 2)),
	}
	for i := range 20 {
		s.projects = append(s.projects, env.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)}))
	}
	return s
}

func (s *soak) since() time.Duration { return time.Since(s.began) }

func (s *soak) sentAll() bool {
	select {
	case <-s.all:
		return true
	default:
		return false
	}
}

// next gives the next delivery: mostly that of a job that got stuck, in a
// pipeline where one to three did. A duplicate comes from the same webhook, and
// then has the same key, or from another one. A large one is of a pipeline.
func (s *soak) next() *delivery {
	if s.left == 0 {
		close(s.all)
		return nil
	}
	s.left--
	var d *delivery
	switch {
	case len(s.recent) > 0 && s.choice.Float64() < soakDuplicates:
		s.duplicates++
		again := *s.recent[s.choice.IntN(len(s.recent))]
		if s.choice.IntN(2) == 0 {
			again.key += "-group"
		}
		return &again
	case s.left%soakLarge == soakLarge/2:
		s.large++
		pipeline := s.newPipeline(1)
		d = &delivery{key: fmt.Sprintf("pipeline-%d", pipeline), pipeline: pipeline}
		d.padding = webhook.DefaultMaxBody - len(s.body(d))
		return d
	case len(s.fresh) == 0:
		for _, job := range s.gitlab.Jobs(s.newPipeline(1 + s.choice.IntN(3))) {
			s.fresh = append(s.fresh, s.deliveryOf(job))
		}
	}
	d, s.fresh = s.fresh[0], s.fresh[1:]
	s.recent = append(s.recent, d)
	if len(s.recent) > 500 {
		s.recent = s.recent[1:]
	}
	return d
}

// newPipeline makes a pipeline in which so many jobs got stuck.
func (s *soak) newPipeline(stuck int) int64 {
	jobs := make([]gitlabtest.Job, stuck)
	for i := range jobs {
		jobs[i].Name = fmt.Sprintf("rspec-%d", i)
	}
	pipeline := s.gitlab.AddPipeline(s.projects[s.choice.IntN(len(s.projects))].ID, gitlabtest.Pipeline{}, jobs...)
	for _, job := range s.gitlab.Jobs(pipeline.ID) {
		s.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
	}
	return pipeline.ID
}

// kill kills a replica or Redis or both, and starts it again.
func (s *soak) kill() {
	i := s.fate.IntN(soakReplicas)
	replica, redis := true, false
	switch s.fate.IntN(10) {
	case 0:
		redis = true
	case 1, 2:
		replica, redis = false, true
	}
	if redis {
		s.redisKills++
		s.redis.Kill()
		<-time.After(time.Duration(s.fate.Int64N(int64(time.Second))))
	}
	if replica {
		s.replicaKills++
		s.replica(i).kill()
	}
	if redis {
		s.redis.Restart()
	}
	if replica {
		s.replace(i)
	}
}

// watch lets time pass, and notes and shows how it goes meanwhile.
func (s *soak) watch(span time.Duration) {
	const show, look = 5 * time.Second, 250 * time.Millisecond
	for end := time.Now().Add(span); time.Now().Before(end); <-time.After(look) {
		for i := range soakReplicas {
			if bytes := s.replica(i).resident(); bytes > 0 {
				s.memory = append(s.memory, bytes)
			}
		}
		if time.Since(s.shown) < show {
			continue
		}
		s.shown = time.Now()
		d, _ := s.replica(0).depth()
		s.Logf("%4.0f s: %d sent, %d accepted, %d refused; %d due, %d waiting, %d leased; %d messages; killed: %d replicas, %d Redis",
			s.since().Seconds(), s.sent.Load(), s.accepted.Load(), s.refused.Load(), d.Due, d.Waiting, d.Leased,
			s.slack.Calls("chat.postMessage"), s.replicaKills, s.redisKills)
	}
}

// report says what became of all, and fails the test if something was lost or
// doubled.
func (s *soak) report(deliveries []*delivery) {
	t := s.tally(s.replica(0), deliveries)
	dead, _ := s.replica(0).depth()
	others := 0
	for result, n := range t.results {
		if result != event.ResultDone {
			others += n
		}
	}
	requests, faulty := s.gitlab.Requests(), 0
	for _, r := range requests {
		if r.Status == 0 || r.Status == http.StatusTooManyRequests || r.Status >= http.StatusInternalServerError {
			faulty++
		}
	}

	var text strings.Builder
	row := func(what string, value any) { fmt.Fprintf(&text, "%-32s %10v\n", what, value) }
	row("sent", s.sent.Load())
	row("answered 2xx", s.accepted.Load())
	row("refused and sent again", s.refused.Load())
	row("duplicates", s.duplicates)
	row("of 25 MB", s.large)
	row("jobs and pipelines they were of", t.things)
	row("decided", t.decided)
	row("done", t.results[event.ResultDone])
	row("other outcomes", others)
	row("dead", dead.Dead)
	row("lost", len(t.lost))
	row("doubled", len(t.doubled))
	row("GitLab's answers", len(requests))
	row("faults among them", faulty)
	row("kills of a replica", s.replicaKills)
	row("kills of Redis", s.redisKills)
	row("seconds", int(s.since().Seconds()))
	const parts = 4
	for i := range parts {
		least, most := spread(s.memory[len(s.memory)*i/parts : len(s.memory)*(i+1)/parts])
		row(fmt.Sprintf("MB of a replica, quarter %d", i+1), fmt.Sprintf("%d to %d", least>>20, most>>20))
	}
	s.Logf("that was it:\n%s", text.String())

	for _, problem := range slices.Concat(t.lost, t.doubled) {
		s.Errorf("not once: %s\n%s", problem.what, s.said(problem.logged))
	}
	if dead.Dead > 0 {
		s.Errorf("%d records are dead", dead.Dead)
	}
}

// spread gives the least and the most.
func spread(all []int) (least, most int) {
	if len(all) == 0 { // the system does not say
		return 0, 0
	}
	return slices.Min(all), slices.Max(all)
}
