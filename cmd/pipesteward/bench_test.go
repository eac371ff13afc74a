package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// The benchmarks below measure the program whole, as a process of its own.
// Each measures once and takes the time that it takes, whatever -benchtime
// says; what it found are the metrics of its sub-benchmarks.

// Rules of the benchmarks.
const (
	// retries retries each job that failed.
	retries = `{version: 1, limits: {total: 100000/1h}, storm: {failures: 10000}, rules: [{name: retry, on: job, if: 'job.status == "failed"', actions: [retry]}]}`
	// wantsJobs wants no Pipeline Hook.
	wantsJobs = `{version: 1, rules: [{name: jobs, on: job, notify: [{channel: "#ci"}]}]}`
	// wantsPipelines wants every Pipeline Hook, and matches none.
	wantsPipelines = `{version: 1, rules: [{name: no-such-ref, on: pipeline, if: 'pipeline.ref == "no-such-ref"', notify: [{channel: "#ci"}]}]}`
)

// fixtureGitLab is the GitLab that the hooks in handlers/webhook/testdata are from.
const fixtureGitLab = "https://gitlab.example.com"

// benchBackends are the stores that the benchmarks compare: both answer when a
// record is on disk.
var benchBackends = []struct {
	name string
	make func(b *testing.B) (setting string)
}{
	{"bolt", func(b *testing.B) string { return "bolt:" + filepath.Join(b.TempDir(), "p.db") }},
	{"redis", func(b *testing.B) string { return redistest.Start(b, "--appendfsync", "always").URL() }},
}

// asBenched makes the test binary one of the servers that are compared with
// the program: "bare", "appended:" and a file, or else the store of one that
// only takes events in.
const asBenched = "PIPESTEWARD_BENCH_AS"

func init() {
	setting := os.Getenv(asBenched)
	file, appends := strings.CutPrefix(setting, "appended:")
	switch {
	case setting == "":
		return
	case setting == "bare":
		fmt.Fprintln(os.Stderr, serveBare())
	case appends:
		fmt.Fprintln(os.Stderr, serveAppended(file))
	default:
		fmt.Fprintln(os.Stderr, serveIntake(setting))
	}
	os.Exit(1)
}

// serveBare serves an Echo handler that reads the body.
func serveBare() error {
	return serveEcho(func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		return c.NoContent(http.StatusOK)
	})
}

// serveAppended serves an Echo handler that answers when the body is on disk:
// the least that a durable store can do. Bodies that come at the same time
// share a write at the end of one file, and a sync.
func serveAppended(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	type waiting struct {
		body []byte
		done chan error
	}
	arrived := make(chan waiting)
	go func() {
		for first := range arrived {
			group, together := []waiting{first}, first.body
			for more := true; more; {
				select {
				case w := <-arrived:
					group, together = append(group, w), append(together, w.body...)
				default:
					more = false
				}
			}
			_, err := f.Write(together)
			err = errors.Join(err, f.Sync())
			for _, w := range group {
				w.done <- err
			}
		}
	}()
	return serveEcho(func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		w := waiting{body, make(chan error, 1)}
		arrived <- w
		if err := <-w.done; err != nil {
			return err
		}
		return c.NoContent(http.StatusAccepted)
	})
}

func serveEcho(handler echo.HandlerFunc) error {
	e := echo.New()
	e.POST(webhook.Path, handler)
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sayServing(listener.Addr())
	return http.Serve(listener, e)
}

// serveIntake serves the program's webhook over its store; nobody works on
// what is stored.
func serveIntake(setting string) error {
	log := slog.New(slog.DiscardHandler)
	db, err := app.OpenStore(context.Background(), setting, app.Longest(), log)
	if err != nil {
		return err
	}
	wanted, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "bench", Data: []byte(wantsPipelines)})
	if err != nil {
		return err
	}
	gl, err := gitlab.New(gitlab.Config{BaseURL: fixtureGitLab, Token: gitlabtest.DefaultToken, Now: time.Now})
	if err != nil {
		return err
	}
	handler, err := webhook.New(webhook.Config{
		Credentials: webhook.Credentials{Tokens: []string{testSecret}},
		Queue:       db, Rules: wanted, GitLab: gl, Now: time.Now, Log: log, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sayServing(listener.Addr())
	return handlers.NewServer(handler).Serve(listener)
}

// servesLine is the log line of a program that serves.
const servesLine = "pipesteward serves"

func sayServing(addr net.Addr) {
	fmt.Fprintf(os.Stderr, `{"msg":%q,"webhooks":"http://%s%s"}`+"\n", servesLine, addr, webhook.Path)
}

// BenchmarkDelivery sends a Pipeline Hook of 7 KB over 64 connections, each
// with a key of its own, to one server after the other, in rounds:
//
//	bare      an Echo handler that reads the body
//	unwanted  the program, with no rule that wants it
//	bolt      the program, which stores it, evaluates a rule on it and ends it,
//	redis     in the round or, for what is left, right after it
//	appended  an Echo handler that appends the body to a file, and answers when
//	          it is on disk: as fast as anything durable can be on this machine
//	…-intake  the program's webhook and store alone: a burst that is stored now
//	          and worked on later
//	webhook   Debian's (adnanh's), with one rule that does not match
//
// "worked/s" counts the deliveries of a round by the time until all of them are worked
// off, "req/s" by the time until all are answered. Only the first is a throughput of the
// whole: the second falls when the workers become faster, because they take more of the
// processors from the webhook while it is measured. "of-bare" and "of-appended" are the
// medians over the rounds of the ratio of worked/s to that of those handlers in the same
// round, "cpu-us" the processor time of the server's process for each delivery, that for
// working it off included.
func BenchmarkDelivery(b *testing.B) {
	const (
		conns  = 64
		rounds = 7
		span   = time.Second
	)
	body := pipelineHook(b)
	servers := []*benched{
		benchOther(b, "bare", "bare", http.StatusOK),
		benchOther(b, "appended", "appended:"+filepath.Join(b.TempDir(), "bodies"), http.StatusAccepted),
		benchServe(b, "unwanted", wantsJobs, benchBackends[0].make(b), ""),
	}
	for _, backend := range benchBackends {
		servers = append(servers,
			benchServe(b, backend.name, wantsPipelines, backend.make(b), ""),
			benchOther(b, backend.name+"-intake", backend.make(b), http.StatusAccepted))
	}
	if w := benchWebhook(b); w != nil {
		servers = append(servers, w)
	}
	loads := make([]*load, len(servers))
	for i, s := range servers {
		loads[i] = newLoad(b, s, body, conns)
		loads[i].run(b, span/2) // warms up
		s.workedOff(b)
	}
	rates := make([][]float64, len(servers))  // of responses, while deliveries come
	worked := make([][]float64, len(servers)) // of deliveries, until all are worked off
	tooks := make([][]time.Duration, len(servers))
	cpus := make([]time.Duration, len(servers))
	for range rounds {
		for i, s := range servers {
			before, begin := s.cpu(b), time.Now()
			took := loads[i].run(b, span)
			rates[i] = append(rates[i], float64(len(took))/time.Since(begin).Seconds())
			tooks[i] = append(tooks[i], took...)
			s.workedOff(b)
			worked[i] = append(worked[i], float64(len(took))/time.Since(begin).Seconds())
			cpus[i] += s.cpu(b) - before
		}
	}
	for i, s := range servers {
		ratioTo := func(other int) float64 {
			ratios := make([]float64, rounds)
			for round := range ratios {
				ratios[round] = worked[i][round] / worked[other][round]
			}
			return median(ratios)
		}
		printMetrics(b, s.name, metric{"req/s", median(rates[i])}, metric{"worked/s", median(worked[i])}, metric{"of-bare", ratioTo(0)}, metric{"of-appended", ratioTo(1)},
			metric{"p50-ms", quantile(tooks[i], 0.50)}, metric{"p99-ms", quantile(tooks[i], 0.99)}, metric{"cpu-us", float64(cpus[i].Microseconds()) / float64(len(tooks[i]))})
	}
}

// BenchmarkTracing sends the deliveries of BenchmarkDelivery to programs with bolt that send
// no traces, twice to compare the machine with itself, a tenth of all traces, and all, to a
// collector in this process that drops them. "of-off" and "cpu-of-off" are the medians over
// the rounds of the ratios of worked/s and of the processor time for each delivery to those
// of the first in the same round.
func BenchmarkTracing(b *testing.B) {
	const (
		conns  = 16
		rounds = 15
		span   = time.Second / 2
	)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	b.Cleanup(collector.Close)
	endpoint := "OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL
	servers := []*benched{
		benchServe(b, "off", wantsPipelines, benchBackends[0].make(b), ""),
		benchServe(b, "off-again", wantsPipelines, benchBackends[0].make(b), ""),
		benchServe(b, "a-tenth", wantsPipelines, benchBackends[0].make(b), "", endpoint, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.1"),
		benchServe(b, "all", wantsPipelines, benchBackends[0].make(b), "", endpoint),
	}
	body, loads := pipelineHook(b), make([]*load, len(servers))
	for i, s := range servers {
		loads[i] = newLoad(b, s, body, conns)
		loads[i].run(b, span) // warms up
		s.workedOff(b)
	}
	worked, cpus, tooks := make([][]float64, len(servers)), make([][]float64, len(servers)), make([][]time.Duration, len(servers))
	for range rounds {
		for i, s := range servers {
			before, begin := s.cpu(b), time.Now()
			took := loads[i].run(b, span)
			s.workedOff(b)
			worked[i] = append(worked[i], float64(len(took))/time.Since(begin).Seconds())
			tooks[i] = append(tooks[i], took...)
			cpus[i] = append(cpus[i], float64((s.cpu(b)-before).Microseconds())/float64(len(took)))
		}
	}
	ofOff := func(all [][]float64, of int) float64 {
		ratios := make([]float64, rounds)
		for round := range ratios {
			ratios[round] = all[of][round] / all[0][round]
		}
		return median(ratios)
	}
	for i, s := range servers {
		printMetrics(b, s.name, metric{"worked/s", median(worked[i])}, metric{"of-off", ofOff(worked, i)}, metric{"p50-ms", quantile(tooks[i], 0.50)},
			metric{"cpu-us", median(cpus[i])}, metric{"cpu-of-off", ofOff(cpus, i)})
	}
}

// BenchmarkEventToAction sends the Job Hooks of failed jobs, 200 a second for
// 10 seconds, and measures the time from each delivery to the call in which
// the simulated GitLab receives the request to retry the job.
func BenchmarkEventToAction(b *testing.B) {
	const (
		every = 5 * time.Millisecond
		count = 2000
	)
	for _, backend := range benchBackends {
		gl := gitlabtest.Start(b, gitlabtest.Options{Now: time.Now})
		s := benchServe(b, backend.name, retries, backend.make(b), gl.URL())
		jobs := failedJobs(gl, count)
		due := make([]time.Time, count)
		var senders sync.WaitGroup
		begin := time.Now().Add(every)
		for i, job := range jobs {
			body := gl.JobHookBody(job.ID)
			due[i] = begin.Add(time.Duration(i) * every)
			<-time.After(time.Until(due[i]))
			senders.Go(func() {
				if code, err := s.post(b, body); err != nil || code != s.code {
					b.Errorf("%s answers %d (%v), want %d", s.name, code, err, s.code)
				}
			})
		}
		senders.Wait()
		s.workedOff(b)
		called := map[string]time.Time{}
		for _, r := range gl.Requests() {
			called[r.Path] = r.At
		}
		var took []time.Duration
		for i, job := range jobs {
			if at, ok := called[fmt.Sprintf("/projects/%d/jobs/%d/retry", job.ProjectID, job.ID)]; ok {
				took = append(took, at.Sub(due[i]))
			}
		}
		if len(took) != count {
			b.Errorf("%d of %d jobs were retried", len(took), count)
		}
		printMetrics(b, backend.name, metric{"p50-ms", quantile(took, 0.50)}, metric{"p99-ms", quantile(took, 0.99)})
	}
}

// BenchmarkBacklog measures how fast the program works off events that were
// queued while it was away: 100,000 Pipeline Hooks that match no rule, and
// 2,000 Job Hooks of which each makes a retry in the simulated GitLab.
func BenchmarkBacklog(b *testing.B) {
	const unmatched, matched = 100_000, 2_000
	hook := pipelineHook(b)
	for _, backend := range benchBackends {
		setting := backend.make(b)
		queueEvents(b, setting, unmatched, func(int) []byte { return hook })
		begin := time.Now()
		s := benchServe(b, backend.name, wantsPipelines, setting, "")
		s.workedOff(b)
		printMetrics(b, backend.name+"/unmatched", metric{"events/s", unmatched / time.Since(begin).Seconds()})
		s.end()

		gl := gitlabtest.Start(b, gitlabtest.Options{Now: time.Now})
		jobs := failedJobs(gl, matched)
		setting = backend.make(b)
		queueEvents(b, setting, matched, func(i int) []byte { return gl.JobHookBody(jobs[i].ID) })
		begin = time.Now()
		s = benchServe(b, backend.name, retries, setting, gl.URL())
		s.workedOff(b)
		printMetrics(b, backend.name+"/retried", metric{"events/s", matched / time.Since(begin).Seconds()})
		if n := gl.Count("POST", "/retry"); n != matched {
			b.Errorf("%d retries, want %d", n, matched)
		}
		s.end()
	}
}

// failedJobs makes jobs that failed, each in a pipeline of its own.
func failedJobs(gl *gitlabtest.Server, n int) []gitlabtest.Job {
	jobs := make([]gitlabtest.Job, n)
	for i := range jobs {
		project := gl.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)})
		pipeline := gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		jobs[i] = gl.Latest(pipeline.ID, "rspec")
		gl.Finish(jobs[i].ID, "failed", "runner_system_failure")
	}
	return jobs
}

// queueEvents puts the events of n hooks into a store, as deliveries are put.
func queueEvents(b *testing.B, setting string, n int, hook func(i int) []byte) {
	b.Helper()
	db, err := app.OpenStore(b.Context(), setting, app.Longest(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	records := make([]store.Record, n)
	for i := range records {
		e, err := webhook.Decode(hook(i), "")
		if err != nil {
			b.Fatal(err)
		}
		e.Meta.ID, e.Meta.ReceivedAt = strconv.Itoa(i), time.Now()
		body, err := json.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		records[i] = store.Record{ID: "event:" + e.Meta.ID, Kind: event.RecordEvent, Body: body}
	}
	for some := range slices.Chunk(records, 200) {
		if _, err := db.Put(b.Context(), some...); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMemory measures the resident memory of the program: idle, when
// 20,000 Pipeline Hooks were stored and worked off, and at most while each of
// 50 connections sends one of nearly 25 MB at the same time; of those, "taken"
// were stored and "put-off" answered 500.
func BenchmarkMemory(b *testing.B) {
	const senders, largest = 50, webhook.DefaultMaxBody
	for _, backend := range benchBackends {
		s := benchServe(b, backend.name, wantsPipelines, backend.make(b), "")
		idle := s.memory(b, "VmRSS")
		hook := pipelineHook(b)
		l := newLoad(b, s, hook, 64)
		for sent := 0; sent < 20_000; {
			sent += len(l.run(b, time.Second/4))
		}
		s.workedOff(b)
		worked := s.memory(b, "VmRSS")

		huge := hugeHook(b, hook, largest)
		var taken, putOff atomic.Int64
		var all sync.WaitGroup
		for range senders {
			all.Go(func() {
				switch code, err := s.post(b, huge); {
				case err != nil:
					b.Error(err)
				case code == http.StatusAccepted:
					taken.Add(1)
				case code == http.StatusInternalServerError:
					putOff.Add(1)
				default:
					b.Errorf("a huge hook is answered with %d", code)
				}
			})
		}
		all.Wait()
		s.workedOff(b)
		printMetrics(b, backend.name, metric{"idle-MB", idle}, metric{"worked-MB", worked}, metric{"peak-MB", s.memory(b, "VmHWM")},
			metric{"after-MB", s.memory(b, "VmRSS")}, metric{"taken", float64(taken.Load())}, metric{"put-off", float64(putOff.Load())})
		s.end()
	}
}

// hugeHook gives a Pipeline Hook of nearly the size by repeating its builds.
func hugeHook(b *testing.B, hook []byte, size int) []byte {
	b.Helper()
	var fields map[string]json.RawMessage
	var builds []json.RawMessage
	if err := errors.Join(json.Unmarshal(hook, &fields), json.Unmarshal(fields["builds"], &builds)); err != nil {
		b.Fatal(err)
	}
	many := slices.Repeat(builds, (size-len(hook))/(len(fields["builds"])+1))
	var err error
	if fields["builds"], err = json.Marshal(many); err != nil {
		b.Fatal(err)
	}
	huge, err := json.Marshal(fields)
	if err != nil {
		b.Fatal(err)
	}
	return huge
}

// metric is a figure and its unit.
type metric struct {
	unit  string
	value float64
}

// printMetrics prints metrics as a sub-benchmark's.
func printMetrics(b *testing.B, name string, metrics ...metric) {
	b.Run(name, func(b *testing.B) {
		b.ReportMetric(0, "ns/op") // there is no op
		for _, m := range metrics {
			b.ReportMetric(m.value, m.unit)
		}
	})
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// quantile gives the duration in ms that a share q of them stays below.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Millisecond)
}

func pipelineHook(b *testing.B) []byte {
	b.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "handlers", "webhook", "testdata", "pipeline-failed.json"))
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// benched is a process that takes deliveries.
type benched struct {
	name  string
	cmd   *exec.Cmd
	addr  string // host and port
	path  string
	admin string // URL; "" without one
	code  int    // answers a delivery
	end   func() // kills it
}

// benchServe starts `pipesteward serve` with the rules and the store.
func benchServe(b *testing.B, name, ruleFile, store, gitlab string, variables ...string) *benched {
	b.Helper()
	file := filepath.Join(b.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(ruleFile), 0o600); err != nil {
		b.Fatal(err)
	}
	if gitlab == "" {
		gitlab = gitlabtest.Start(b, gitlabtest.Options{Now: time.Now}).URL() // an unreachable one is a record in the queue
	}
	s := startBenched(b, name, append(variables,
		asProgram+"=1", "PIPESTEWARD_GITLAB_TOKEN="+gitlabtest.DefaultToken, "PIPESTEWARD_WEBHOOK_TOKEN="+testSecret,
	), "serve", "--rules", file, "--store", store, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
		"--gitlab-url", gitlab, "--gitlab-alias", fixtureGitLab, "--gitlab-rate", "1000000/1m", "--native-retry-wait", "0s")
	s.code = http.StatusAccepted
	if ruleFile == wantsJobs {
		s.code = http.StatusOK
	}
	return s
}

// benchOther starts one of the servers that the program is compared with.
func benchOther(b *testing.B, name, setting string, code int) *benched {
	b.Helper()
	s := startBenched(b, name, []string{asBenched + "=" + setting})
	s.code = code
	return s
}

// startBenched starts the test binary as one of the servers that it can be.
func startBenched(b *testing.B, name string, env []string, args ...string) *benched {
	b.Helper()
	s := &benched{name: name, path: webhook.Path, cmd: exec.CommandContext(context.Background(), os.Args[0], args...)}
	s.cmd.Env = append(os.Environ(), env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var drained sync.WaitGroup
	s.end = sync.OnceFunc(func() {
		_ = s.cmd.Process.Kill()
		drained.Wait()
		_ = s.cmd.Wait() // killed
	})
	b.Cleanup(s.end)
	var log []string
	for lines.Scan() {
		log = append(log, lines.Text())
		var line struct{ Msg, Webhooks, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == servesLine {
			s.addr, s.admin = strings.TrimSuffix(strings.TrimPrefix(line.Webhooks, "http://"), s.path), line.Admin
			drained.Go(func() { _, _ = io.Copy(io.Discard, stderr) })
			return s
		}
	}
	b.Fatalf("%s does not start:\n%s", name, strings.Join(log, "\n"))
	return nil
}

// benchWebhook starts Debian's webhook where it is installed; else nil.
func benchWebhook(b *testing.B) *benched {
	b.Helper()
	program, err := exec.LookPath("webhook")
	if err != nil {
		fmt.Println("webhook is not installed and left out (Debian: apt-get install webhook)")
		return nil
	}
	hooks := filepath.Join(b.TempDir(), "hooks.json")
	err = os.WriteFile(hooks, []byte(`[{"id": "gitlab", "execute-command": "/bin/true", "trigger-rule":
		{"match": {"type": "value", "value": "no-such-ref", "parameter": {"source": "payload", "name": "object_attributes.ref"}}}}]`), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	port := redistest.FreePort(b)
	s := &benched{
		name: "webhook", path: "/hooks/gitlab", addr: net.JoinHostPort("127.0.0.1", port), code: http.StatusOK,
		cmd: exec.CommandContext(context.Background(), program, "-hooks", hooks, "-ip", "127.0.0.1", "-port", port),
	}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s.end = sync.OnceFunc(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // killed
	})
	b.Cleanup(s.end)
	await.Until(b, "webhook listens", func() bool {
		conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return s
}

// cpu gives the processor time that the process has used; 0 where the kernel
// does not report as Linux does.
func (s *benched) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	return time.Duration(ticks) * tick
}

// memory gives a size that the kernel reports of the process, in MB (10^6
// bytes): VmRSS is what is resident, VmHWM the most that was; 0 where it does
// not report as Linux does.
func (s *benched) memory(b *testing.B, name string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), name+":")
	size, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
	n, err := strconv.Atoi(size)
	if err != nil {
		b.Fatal(err)
	}
	return float64(n) * 1024 / 1e6
}

// post posts one delivery, and returns the code of the answer.
func (s *benched) post(b *testing.B, body []byte) (code int, err error) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+s.addr+s.path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("X-Gitlab-Token", testSecret)
	r.Header.Set("Idempotency-Key", strconv.FormatUint(rand.Uint64(), 16))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// workedOff waits until the server's queue is empty. It requests a single record: to
// list those of a whole page costs the server a fifth of its time while it works.
func (s *benched) workedOff(b *testing.B) {
	b.Helper()
	if s.admin == "" {
		return
	}
	await.Until(b, "the queue is empty", func() bool {
		var d struct{ Due, Waiting, Leased int }
		s.get(b, "/api/v1/queue?limit=1", &d)
		return d.Due+d.Waiting+d.Leased == 0
	})
}

// get reads JSON from the admin address.
func (s *benched) get(b *testing.B, path string, into any) {
	b.Helper()
	resp, err := http.Get(s.admin + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		b.Fatal(err)
	}
}

// load sends deliveries to a server over its connections. It speaks HTTP by
// hand, to cost little itself.
type load struct {
	server *benched
	lines  []*line
}

// line is one connection.
type line struct {
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	key     []byte // in request
}

const keyDigits = 32

func newLoad(b *testing.B, s *benched, body []byte, conns int) *load {
	b.Helper()
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Gitlab-Event: Pipeline Hook\r\n"+
		"X-Gitlab-Instance: "+fixtureGitLab+"\r\n"+
		"X-Gitlab-Token: %s\r\nContent-Length: %d\r\nIdempotency-Key: ", s.path, testSecret, len(body))
	l := &load{server: s}
	for range conns {
		conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", s.addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		request := fmt.Appendf(nil, "%s%0*d\r\n\r\n%s", head, keyDigits, 0, body)
		l.lines = append(l.lines, &line{
			conn: conn, answers: bufio.NewReader(conn),
			request: request, key: request[len(head):][:keyDigits],
		})
	}
	return l
}

// run sends on all connections, one delivery after the other on each, and
// returns how long each took to be answered.
func (l *load) run(b *testing.B, span time.Duration) []time.Duration {
	b.Helper()
	tooks := make([][]time.Duration, len(l.lines))
	var senders sync.WaitGroup
	begin := time.Now()
	for i, line := range l.lines {
		senders.Go(func() {
			for {
				start := time.Now()
				if start.Sub(begin) >= span {
					return
				}
				if code, err := line.send(); err != nil || code != l.server.code {
					b.Errorf("%s answers %d (%v), want %d", l.server.name, code, err, l.server.code)
					return
				}
				tooks[i] = append(tooks[i], time.Since(start))
			}
		})
	}
	senders.Wait()
	return slices.Concat(tooks...)
}

// send sends the delivery under a new key, random as GitLab's are, and returns
// the code of the answer.
func (l *line) send() (code int, err error) {
	hex := strconv.AppendUint(strconv.AppendUint(l.key[:0], rand.Uint64()|1<<63, 16), rand.Uint64()|1<<63, 16)
	if len(hex) != keyDigits {
		return 0, errors.New("the key does not fit")
	}
	if _, err := l.conn.Write(l.request); err != nil {
		return 0, err
	}
	status, err := l.answers.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if code, err = strconv.Atoi(string(status[len("HTTP/1.1 "):][:3])); err != nil {
		return 0, err
	}
	size := 0
	for {
		field, err := l.answers.ReadSlice('\n')
		if err != nil {
			return code, err
		}
		if field = bytes.TrimSpace(field); len(field) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(field, []byte("Content-Length: ")); ok {
			if size, err = strconv.Atoi(string(value)); err != nil {
				return code, err
			}
		}
	}
	_, err = l.answers.Discard(size)
	return code, err
}
