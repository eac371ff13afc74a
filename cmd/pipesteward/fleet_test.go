package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// fleet is replicas that share a store, with a load balancer before them.
type fleet struct {
	*environment
	args   []string
	client *http.Client

	mu       sync.Mutex
	replicas []*program
	ended    []*program // those that were replaced
	turn     int

	sent, accepted, refused atomic.Int64 // answers to deliveries; refused: or none came
	notStored               atomic.Int64 // of those refused: the store did not take them
}

// serveFleet starts so many replicas on one store. GitLab's rate does not
// slow them, unless more arguments say so.
func (env *environment) serveFleet(replicas int, store string, more ...string) *fleet {
	env.Helper()
	f := &fleet{
		environment: env,
		args:        append([]string{"--store", store, "--gitlab-rate", "1000000/1m"}, more...),
		client:      &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}, // bounds a hang
	}
	env.Cleanup(f.client.CloseIdleConnections)
	for range replicas {
		f.replicas = append(f.replicas, env.serve(f.args...))
	}
	return f
}

// replica returns one of the replicas.
func (f *fleet) replica(i int) *program {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.replicas[i]
}

// replace starts another replica in the place of one that has ended. One that
// does not start, as when Redis is too busy with its file, is started again, as
// a service manager does.
func (f *fleet) replace(i int) {
	f.Helper()
	p, err := f.start(f.args...)
	for try := 1; err != nil; try++ {
		if try == 10 {
			f.Fatal(err)
		}
		p, err = f.start(f.args...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = append(f.ended, f.replicas[i])
	f.replicas[i] = p
}

// said returns the log lines of all replicas, also of those that were replaced,
// that hold the text.
func (f *fleet) said(text string) string {
	var lines strings.Builder
	for _, p := range slices.Concat(f.ended, f.replicas) {
		for line := range strings.Lines(p.logged()) {
			if strings.Contains(line, text) {
				lines.WriteString(line)
			}
		}
	}
	return lines.String()
}

// inTurn returns all replicas, the one whose turn it is first.
func (f *fleet) inTurn() []*program {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn++
	first := f.turn % len(f.replicas)
	return slices.Concat(f.replicas[first:], f.replicas[:first])
}

// delivery is a webhook request: a Job Hook of a job that got stuck, or a
// Pipeline Hook where there is no job.
type delivery struct {
	key      string // as GitLab's Idempotency-Key
	pipeline int64
	job      gitlabtest.Job
	padding  int // bytes that are added to its body
}

func (env *environment) deliveryOf(job gitlabtest.Job) *delivery {
	return &delivery{key: fmt.Sprintf("job-%d", job.ID), pipeline: job.PipelineID, job: job}
}

// newDelivery makes a stuck job, and a delivery of it.
func (env *environment) newDelivery() *delivery { return env.deliveryOf(env.stuckJob()) }

// body is what GitLab sends.
func (env *environment) body(d *delivery) []byte {
	body := env.gitlab.PipelineHookBody
	id := d.pipeline
	if d.job.ID != 0 {
		body, id = env.gitlab.JobHookBody, d.job.ID
	}
	plain := body(id)
	if d.padding == 0 {
		return plain
	}
	padded := make([]byte, 0, len(plain)+d.padding)
	padded = append(padded, `{"padding":"`...)
	padded = append(padded, bytes.Repeat([]byte("x"), d.padding-len(`"padding":"",`))...)
	return append(append(padded, `",`...), plain[1:]...)
}

// send sends a delivery to the replica whose turn it is, or to the next one
// where no connection can be made, as a load balancer does.
func (f *fleet) send(ctx context.Context, key string, body []byte) (code int, err error) {
	for _, p := range f.inTurn() {
		if code, err = f.sendTo(ctx, p, key, body); !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	f.sent.Add(1)
	if err == nil && code/100 == 2 {
		f.accepted.Add(1)
	} else {
		f.refused.Add(1)
	}
	if code == http.StatusInternalServerError {
		f.notStored.Add(1)
	}
	return code, err
}

func (f *fleet) sendTo(ctx context.Context, p *program, key string, body []byte) (code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.webhooks, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Gitlab-Token", testSecret)
	req.Header.Set("Idempotency-Key", key)
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return resp.StatusCode, nil
}

// deliver sends a delivery again and again until it is accepted, as somebody
// does who resends what GitLab's page of recent deliveries shows as failed. An
// answer that none of the faults can explain ends it, and fails the test.
func (f *fleet) deliver(ctx context.Context, d *delivery) {
	body := f.body(d)
	for {
		code, err := f.send(ctx, d.key, body)
		switch {
		case err == nil && code/100 == 2, ctx.Err() != nil:
			return
		case err == nil && code != http.StatusInternalServerError:
			f.Errorf("delivery %s is answered with %d", d.key, code)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stream begins to send what next gives, one delivery each so often, whatever
// becomes of those before. It ends when next gives nil or stop is called, which
// waits until all are accepted, and returns them.
func (f *fleet) stream(every time.Duration, next func() *delivery) (stop func() []*delivery) {
	stopped := make(chan struct{})
	var all []*delivery
	var sending sync.WaitGroup
	sending.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-f.Context().Done():
				return
			case <-stopped:
				return
			case <-tick.C:
			}
			d := next()
			if d == nil {
				return
			}
			all = append(all, d)
			sending.Go(func() { f.deliver(f.Context(), d) })
		}
	})
	return func() []*delivery {
		close(stopped)
		sending.Wait()
		return all
	}
}

// acceptMore waits until so many more deliveries are accepted.
func (f *fleet) acceptMore(n int64) { f.more("accepted", &f.accepted, n) }

// refuseMore waits until so many more deliveries are refused.
func (f *fleet) refuseMore(n int64) { f.more("refused", &f.refused, n) }

func (f *fleet) more(what string, counter *atomic.Int64, n int64) {
	f.Helper()
	n += counter.Load()
	f.replica(0).eventually(fmt.Sprintf("%d deliveries are %s", n, what), func() bool { return counter.Load() >= n })
}

// tally holds what became of deliveries that were accepted against what was
// promised.
type tally struct {
	things  int            // that the deliveries were of: duplicates count once
	decided int            // decisions on them
	results map[string]int // of those, by result
	lost    []problem      // what did not happen
	doubled []problem      // what happened more than once
}

// problem is something that did not happen once.
type problem struct {
	what   string // in words
	logged string // how log lines name what it is about
}

// want wants to have seen something once.
func (t *tally) want(n int, what string, thing thing) {
	p := problem{fmt.Sprintf("%s of %s: %d times", what, thing, n), thing.logged()}
	switch {
	case n < 1:
		t.lost = append(t.lost, p)
	case n > 1:
		t.doubled = append(t.doubled, p)
	}
}

// thing is what a delivery, and a decision, is of: a job, or a pipeline where
// there is none.
type thing struct{ pipeline, job int64 }

func (t thing) String() string {
	if t.job == 0 {
		return fmt.Sprintf("pipeline %d", t.pipeline)
	}
	return fmt.Sprintf("job %d", t.job)
}

func (t thing) logged() string {
	if t.job == 0 {
		return fmt.Sprintf(`"pipeline":%d,`, t.pipeline)
	}
	return fmt.Sprintf(`"job":%d,`, t.job)
}

// tally reads what became of the deliveries, all of them accepted, when the
// queue is empty. What it wants is: one decision on each thing, one message of
// its outcome, one message in the channel per pipeline with the others in its
// thread, and one retry of the job.
func (env *environment) tally(p *program, deliveries []*delivery) tally {
	env.Helper()
	decisions, pipelineOf := map[thing][]event.Outcome{}, map[string]int64{}
	for _, o := range p.outcomes() {
		about := thing{o.Pipeline.ID, o.Job.ID}
		decisions[about] = append(decisions[about], o)
		pipelineOf[o.ID+":"+o.Result] = o.Pipeline.ID
	}
	messages, inChannel := map[string]int{}, map[int64]int{}
	for _, m := range env.slack.Posts() {
		id, _ := m.Metadata.EventPayload["id"].(string)
		messages[id]++
		if m.ThreadTS == "" {
			inChannel[pipelineOf[id]]++
		}
	}
	things := map[thing]gitlabtest.Job{}
	pipelines := map[int64]bool{}
	for _, d := range deliveries {
		things[thing{d.pipeline, d.job.ID}] = d.job
		pipelines[d.pipeline] = true
	}

	t := tally{things: len(things), results: map[string]int{}}
	for about, job := range things {
		t.decided += len(decisions[about])
		t.want(len(decisions[about]), "decision", about)
		for _, o := range decisions[about] {
			t.results[o.Result]++
			t.want(messages[o.ID+":"+o.Result], "message", about)
		}
		if job.ID != 0 {
			runs := slices.DeleteFunc(env.gitlab.Jobs(about.pipeline), func(j gitlabtest.Job) bool { return j.Name != job.Name })
			t.want(len(runs)-1, "retry", about)
		}
	}
	for pipeline := range pipelines {
		t.want(inChannel[pipeline], "message in the channel", thing{pipeline: pipeline})
	}
	return t
}

// wantOnce waits until the queue is empty, and wants of each delivery, all of
// which were accepted, that it was decided once, that its retry and its message
// were made once, and that the outcome says so.
func (env *environment) wantOnce(p *program, deliveries []*delivery) {
	env.Helper()
	p.workedOff()
	if d, _ := p.depth(); d.Dead != 0 {
		env.Errorf("%d records are dead", d.Dead)
	}
	t := env.tally(p, deliveries)
	for _, problem := range slices.Concat(t.lost, t.doubled) {
		env.Errorf("not once: %s", problem.what)
	}
	if want := map[string]int{event.ResultDone: t.things}; !maps.Equal(t.results, want) {
		env.Errorf("results %v, want %v", t.results, want)
	}
	if env.Failed() {
		env.Log(p.logged())
	}
}
