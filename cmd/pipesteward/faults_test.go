package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// The tests below do to the whole program what happens to it in production,
// for real. Each ends with wantOnce.

// moments are what a replica may be doing when something happens to it. The
// returned function reports when it is.
var moments = []struct {
	name    string
	arrange func(env *environment) (reached func() bool)
}{
	{"right after the answer", func(*environment) func() bool { return func() bool { return true } }},
	{"reading the job's state", hangingGitLab("/pipelines/101/jobs", false)},
	{"before the retry", hangingGitLab("/retry", false)},
	{"after the retry, before its answer", hangingGitLab("/retry", true)},
	{"before the message", hangingSlack(false)},
	{"after the message, before its answer", hangingSlack(true)},
	{"after all", func(env *environment) func() bool { return func() bool { return len(env.slack.Posts()) == 1 } }},
}

// hangingGitLab lets the first request to a path hang, before or after its
// effect.
func hangingGitLab(path string, after bool) func(*environment) func() bool {
	return func(env *environment) func() bool {
		env.gitlab.Fail(gitlabtest.Fault{Path: path, After: after, Until: make(chan struct{})})
		return func() bool { return env.gitlab.Count("", path) > 0 }
	}
}

func hangingSlack(after bool) func(*environment) func() bool {
	return func(env *environment) func() bool {
		env.slack.Fail(slacktest.Fault{Method: "chat.postMessage", AfterEffect: after, Delay: time.Minute})
		return func() bool { return env.slack.Calls("chat.postMessage") > 0 && (!after || len(env.slack.Posts()) > 0) }
	}
}

// Whatever the program was doing when it was killed: after the next start
// there was one retry and one message. A message that was on its way is
// looked for only when it has surely arrived or not, after 30 s.
func TestKilledAndStartedAgain(t *testing.T) {
	await.Long(t, "a message is looked for after 30 s")
	t.Parallel()
	for _, moment := range moments {
		t.Run(moment.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			reached := moment.arrange(env)
			job := env.stuckJob()
			p := env.serve()
			if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
				t.Fatalf("answered with %d, want 202", code)
			}
			p.eventually(moment.name, reached)
			p.kill()
			env.wantOnce(env.serve(), []*delivery{env.deliveryOf(job)})
		})
	}
}

// The same with two replicas on a Redis: what the killed one had begun is
// ended by the other, when the lease has run out. A delivery that both get is
// stored once.
func TestKilledAndTakenOver(t *testing.T) {
	await.Long(t, "leases run out after 30 s")
	t.Parallel()
	for _, moment := range moments {
		t.Run(moment.name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, "--appendfsync", "always")
			env := newEnvironment(t)
			reached := moment.arrange(env)
			job := env.stuckJob()
			body := env.gitlab.JobHookBody(job.ID)
			other := env.serve("--store", redis.URL())
			redistest.PauseProcess(t, other.cmd.Process) // or it might be the one that gets the work
			p := env.serve("--store", redis.URL())
			if code := p.post(body); code != http.StatusAccepted {
				t.Fatalf("answered with %d, want 202", code)
			}
			p.eventually(moment.name, reached)
			redistest.ResumeProcess(t, other.cmd.Process)
			p.kill()
			if code := other.post(body); code != http.StatusOK {
				t.Errorf("the other replica answers the same with %d, want 200", code)
			}
			env.wantOnce(other, []*delivery{env.deliveryOf(job)})
		})
	}
}

// A replica that is suspended for longer than its leases last, as on a machine
// that swaps, is taken for dead. When it goes on, it changes nothing.
func TestStandsStillAndGoesOn(t *testing.T) {
	await.Long(t, "leases run out after 30 s")
	t.Parallel()
	for _, c := range []struct {
		name, path string
		after      bool // the call that it makes takes effect at once; else when it goes on
	}{
		{"reading the job's state", "/pipelines/101/jobs", false},
		{"before the retry", "/retry", false},
		{"after the retry, before its answer", "/retry", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, "--appendfsync", "always")
			env := newEnvironment(t)
			goOn := make(chan struct{})
			env.gitlab.Fail(gitlabtest.Fault{Path: c.path, After: c.after, Until: goOn})
			job := env.stuckJob()
			p := env.serve("--store", redis.URL())
			if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
				t.Fatalf("answered with %d, want 202", code)
			}
			p.eventually(c.name, func() bool { return env.gitlab.Count("", c.path) > 0 })
			redistest.PauseProcess(t, p.cmd.Process)
			other := env.serve("--store", redis.URL())
			env.wantOnce(other, []*delivery{env.deliveryOf(job)})

			close(goOn)
			redistest.ResumeProcess(t, p.cmd.Process)
			p.stop() // after what it was doing
			env.wantOnce(other, []*delivery{env.deliveryOf(job)})
		})
	}
}

// Redis is killed while deliveries stream in, and started again: all that was
// acknowledged is in its append-only file.
func TestRedisKilledUnderLoad(t *testing.T) {
	await.Long(t, "it sends deliveries for a while, and leases run out after 30 s")
	t.Parallel()
	redis := redistest.Start(t, "--appendfsync", "always")
	env := newEnvironment(t)
	f := env.serveFleet(2, redis.URL())
	stop := f.stream(40*time.Millisecond, env.newDelivery)
	for range 3 {
		f.acceptMore(40)
		redis.Kill()
		f.refuseMore(20)
		redis.Restart()
	}
	f.acceptMore(40)
	env.wantOnce(f.replica(0), stop())
}

// Redis can't be reached for 30 s: each delivery is refused while that lasts,
// none hangs until it is back, and then work goes on by itself.
func TestRedisGoneForAWhile(t *testing.T) {
	await.Long(t, "Redis is gone for 30 s")
	t.Parallel()
	for _, c := range []struct {
		name       string
		stop, back func(*redistest.Server)
	}{
		{"it answers nothing", (*redistest.Server).Pause, (*redistest.Server).Resume},
		{"its port refuses", (*redistest.Server).Kill, (*redistest.Server).Restart},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, "--appendfsync", "always")
			env := newEnvironment(t)
			env.gitlab.Fail(gitlabtest.Fault{Status: http.StatusServiceUnavailable, Times: 6})
			f := env.serveFleet(1, redis.URL())
			p := f.replica(0)
			accepted, refused := make([]*delivery, 3), make([]*delivery, 10)
			for i := range accepted {
				accepted[i] = env.newDelivery()
				f.deliver(t.Context(), accepted[i])
			}
			for i := range refused {
				refused[i] = env.newDelivery()
			}
			c.stop(redis)
			for back := time.Now().Add(30 * time.Second); time.Now().Before(back); <-time.After(100 * time.Millisecond) {
				refuses(f, refused)
				for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
					if code, text := p.get(path); code != want {
						t.Errorf("%s: %d %s, want %d", path, code, text, want)
					}
				}
			}
			c.back(redis)
			env.wantOnce(p, accepted)
			for _, d := range refused {
				f.deliver(t.Context(), d)
			}
			env.wantOnce(p, slices.Concat(accepted, refused))
		})
	}
}

// refuses sends all deliveries at the same time, and wants each refused.
func refuses(f *fleet, deliveries []*delivery) {
	f.Helper()
	var sending sync.WaitGroup
	for _, d := range deliveries {
		sending.Go(func() {
			if code, err := f.send(f.Context(), d.key, f.body(d)); code != http.StatusInternalServerError {
				f.Errorf("answered with %d (%v), want 500", code, err)
			}
		})
	}
	sending.Wait()
}

// Redis has no memory left: deliveries are refused, accepted events wait, and all
// goes on when there is memory again.
func TestRedisOutOfMemory(t *testing.T) {
	await.Long(t, "it sends deliveries for a while")
	t.Parallel()
	redis := redistest.Start(t, "--appendfsync", "always")
	env := newEnvironment(t)
	f := env.serveFleet(2, redis.URL())
	stop := f.stream(40*time.Millisecond, env.newDelivery)
	f.acceptMore(50)
	redis.Do("config", "set", "maxmemory", 1)
	f.refuseMore(50)
	for i := range 2 {
		if code, text := f.replica(i).get("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("/readyz: %d %s, want 503", code, text)
		}
	}
	late := make([]*delivery, 50)
	for i := range late {
		late[i] = env.newDelivery()
	}
	refuses(f, late)
	redis.Do("config", "set", "maxmemory", 0)
	for _, d := range late {
		f.deliver(t.Context(), d)
	}
	f.acceptMore(100)
	env.wantOnce(f.replica(0), slices.Concat(stop(), late))
}

// The network to Redis is bad: answers come late, or too late, or never. The
// program knows less then of what Redis did than ever.
func TestBadNetworkToRedis(t *testing.T) {
	await.Long(t, "the network is bad for 10 s, and leases run out after 30 s")
	t.Parallel()
	for _, c := range []struct {
		name string
		hurt func(*redistest.Proxy)
	}{
		{"each answer is 150 ms late", func(p *redistest.Proxy) { p.Delay(150 * time.Millisecond) }},
		{"each answer comes too late", func(p *redistest.Proxy) { p.Delay(1200 * time.Millisecond) }},
		{"one answer of 20 is lost", func(p *redistest.Proxy) { p.LoseEvery(20) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy := redistest.StartProxy(t, redistest.Start(t, "--appendfsync", "always"))
			env := newEnvironment(t)
			f := env.serveFleet(2, proxy.URL())
			stop := f.stream(50*time.Millisecond, env.newDelivery)
			f.acceptMore(10)
			c.hurt(proxy)
			<-time.After(10 * time.Second)
			proxy.Delay(0)
			proxy.LoseEvery(0)
			f.acceptMore(10)
			env.wantOnce(f.replica(0), stop())
		})
	}
}

// Each of three replicas is stopped and replaced, while deliveries stream
// in: no delivery is refused, since a replica answers what it has taken, and
// takes no more. What a slow disk makes Redis refuse is no fault of theirs.
func TestRollingRestart(t *testing.T) {
	await.Long(t, "it sends deliveries for a while")
	t.Parallel()
	redis := redistest.Start(t, "--appendfsync", "always")
	env := newEnvironment(t)
	f := env.serveFleet(3, redis.URL())
	stop := f.stream(40*time.Millisecond, env.newDelivery)
	for i := range 3 {
		f.acceptMore(50)
		f.replica(i).stop()
		f.replace(i)
	}
	deliveries := stop()
	notStored := f.notStored.Load()
	if n := f.refused.Load(); n > notStored {
		t.Errorf("%d deliveries are refused, want none but the %d that Redis did not take", n, notStored)
	}
	env.wantOnce(f.replica(0), deliveries)
}

// Four replicas share one rate: no more requests are granted than it says in
// any such time, and GitLab sees none that was not granted. When GitLab requires
// one of them to come back later, all of them do. When something was granted is
// measured by Redis's clock: a request may reach GitLab later, on a busy machine.
func TestReplicasShareTheRate(t *testing.T) {
	await.Long(t, "requests wait for their turn, by the real clock")
	t.Parallel()
	const (
		limit  = 30
		window = 5 * time.Second
		pause  = 6 * time.Second
	)
	server := redistest.Start(t)
	env := newEnvironment(t)
	env.gitlab.Fail(gitlabtest.Fault{Skip: limit + limit/2, Status: http.StatusTooManyRequests, RetryAfter: pause})
	commands := server.Monitor()
	f := env.serveFleet(4, server.URL(), "--gitlab-rate", "30/5s")
	deliveries := make([]*delivery, limit) // each makes two requests
	for i := range deliveries {
		deliveries[i] = env.newDelivery()
		f.deliver(t.Context(), deliveries[i])
	}
	env.wantOnce(f.replica(0), deliveries)

	requests, host := len(env.gitlab.Requests()), strings.TrimPrefix(env.gitlab.URL(), "http://")
	var grants []time.Time
	var paused, until time.Time
	for _, c := range commands() {
		if c.Words[0] != "SET" {
			continue
		}
		switch c.Words[1] {
		case redis.DefaultPrefix + "rate:" + host:
			grants = append(grants, c.At)
		case redis.DefaultPrefix + "hold:" + host:
			end, err := strconv.ParseInt(c.Words[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			paused, until = c.At, time.UnixMicro(end)
		}
	}
	if requests > len(grants) {
		t.Errorf("GitLab saw %d requests, and %d were granted", requests, len(grants))
	}
	between := func(from, to time.Time) (n int) {
		for _, at := range grants {
			if !at.Before(from) && at.Before(to) {
				n++
			}
		}
		return n
	}
	most := 0
	for _, at := range grants {
		most = max(most, between(at, at.Add(window)))
	}
	t.Logf("%d requests of %d that were granted, at most %d in %v", requests, len(grants), most, window)
	if most > limit+limit/10 {
		t.Errorf("%d requests are granted in %v, want %d at most", most, window, limit+limit/10)
	}
	if until.Sub(paused) < pause/2 {
		t.Errorf("all are paused from %v until %v, want for %v", paused, until, pause)
	}
	if n := between(paused, until); n > 0 {
		t.Errorf("GitLab required a wait of %v, and %d requests are granted meanwhile", pause, n)
	}
}

// TestStoreDamagedWhileServing: serve ends with a message when its file is found
// to be damaged, also where only some pages are.
func TestStoreDamagedWhileServing(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]int64{"all pages": 1, "every other page": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			p := env.serve("--dry-run")
			for range 20 { // so that the store uses more than a few of its pages
				p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
			}
			p.workedOff()
			file, err := os.OpenFile(filepath.Join(env.dir, "pipesteward.db"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			page := int64(os.Getpagesize())
			for at := 2 * page; at < info.Size(); at += every * page { // the first two are in memory
				if _, err := file.WriteAt(bytes.Repeat([]byte{0xff}, int(page)), at); err != nil {
					t.Fatal(err)
				}
			}
			var ended error
			p.eventually("serve has ended", func() bool {
				_, _ = p.tryPost(env.gitlab.JobHookBody(env.stuckJob().ID)) // for which it reads other pages
				select {
				case ended = <-p.ended:
					return true
				default:
					return false
				}
			})
			if ended == nil {
				t.Error("serve ends with exit status 0")
			}
			if log := p.logged(); !strings.Contains(log, "is damaged") || !strings.Contains(log, "restore a backup") || strings.Contains(log, "goroutine ") {
				t.Errorf("serve ended, and does not say why:\n%s", p.tail())
			}
		})
	}
}
