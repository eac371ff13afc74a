package main

import (
	"bytes"
	"errors"
	"flag"
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
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redistest"
)

var backupDeliveries = flag.Int("backup.deliveries", 40, "how many `deliveries` come while TestBackupIsRestored makes backups")

const delayedRetry = `
  - name: retry-later
    on: job
    if: failed_with("runner_system_failure")
    actions: [retry: {max_attempts: 3, delay: 1h}]
`

// TestBackupIsRestored: backups are made while deliveries come. One of them is restored on
// another machine an hour later, and all deliveries come again, also those that were made
// before: nothing is done twice, neither what the backup has as done, nor what it has in its
// queue, nor what it does not know.
func TestBackupIsRestored(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", testRules+delayedRetry)
	p := env.run("--gitlab-rate", "1000000/1m")
	var bodies [][]byte
	send := func(p *program, body []byte) {
		if code := p.post(body); code != http.StatusAccepted && code != http.StatusOK {
			p.Errorf("a delivery is answered with %d", code)
		}
	}
	var jobs []gitlabtest.Job
	newJob := func(reason string) gitlabtest.Job {
		project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop-" + strconv.Itoa(len(bodies)%10)})
		job := env.gitlab.Latest(env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID, "rspec")
		env.gitlab.Finish(job.ID, "failed", reason)
		jobs, bodies = append(jobs, job), append(bodies, env.gitlab.JobHookBody(job.ID))
		return job
	}
	later := newJob("runner_system_failure")
	send(p, bodies[0])
	p.eventually("the delayed retry waits", func() bool { d, ok := p.depth(); return ok && d.Waiting == 1 })
	newJob("stuck_or_timeout_failure")
	send(p, bodies[1])
	p.eventually("the first job is retried", func() bool { return env.gitlab.Count("POST", "/retry") == 1 })

	saved := filepath.Join(env.dir, "saved.db")
	var sending sync.WaitGroup
	sent := make(chan struct{})
	sending.Go(func() {
		defer close(sent)
		for range *backupDeliveries {
			newJob("stuck_or_timeout_failure")
			send(p, bodies[len(bodies)-1])
		}
	})
	backups := 0
	for done := false; !done; backups++ {
		select {
		case <-sent:
			done = backups > 0
		default:
		}
		if done {
			break
		}
		if code, _, errs := p.output("backup", "--force", saved); code != 0 || !strings.Contains(errs, saved+" has the store: ") {
			t.Fatalf("backup: exit status %d, %s", code, errs)
		}
	}
	sending.Wait()
	p.eventually("all that is not delayed is done", func() bool { d, ok := p.depth(); return ok && d.queued() == 1 })
	if _, err := env.gitlab.Retry(later.ID); err != nil { // which Pipesteward would have done later
		t.Fatal(err)
	}
	p.stop()
	before := env.gitlab.Count("POST", "/retry")
	if want := *backupDeliveries + 1; before != want {
		t.Fatalf("%d jobs were retried, want %d", before, want)
	}

	restored := filepath.Join(t.TempDir(), "pipesteward.db")
	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(restored, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(restored, bolt.Options{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if err == nil {
		err = errors.Join(db.Ping(t.Context()), db.Close()) // the store's clock goes on from there
	}
	if err != nil {
		t.Fatal(err)
	}
	p = env.run("--gitlab-rate", "1000000/1m", "--store", "bolt:"+restored)
	for _, body := range bodies {
		send(p, body)
	}
	p.workedOff()
	if after := env.gitlab.Count("POST", "/retry"); after != before {
		t.Errorf("%d jobs were retried again", after-before)
	}
	outcomes := p.outcomes()
	for _, job := range jobs {
		i := slices.IndexFunc(outcomes, func(o event.Outcome) bool { return o.Job.ID == job.ID })
		if i < 0 || outcomes[i].Result != event.ResultDone && outcomes[i].Result != event.ResultSkipped {
			t.Errorf("job %d has no outcome that says what became of it", job.ID)
		}
	}
	t.Logf("%d backups while %d deliveries came", backups, *backupDeliveries)
}

// TestBackupCommand: what the command refuses, and what it says to do instead.
func TestBackupCommand(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run()
	there := env.write("there.db", "of another backup")
	path := filepath.Join(env.dir, "pipesteward.db")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"backup"}, 2, "backup needs one FILE"},
		{[]string{"backup", "a", "b"}, 2, "backup needs one FILE"},
		{[]string{"backup", there}, 2, "is there already: name another file, or give --force"},
		{[]string{"backup", filepath.Join(env.dir, "none", "a.db")}, 1, "no such file or directory"},
		{[]string{"backup", "--store", "bolt:" + path, filepath.Join(env.dir, "a.db")}, 1, "omit --store to have it copied"},
		{[]string{"backup", "--store", "bolt:" + path + ".none", filepath.Join(env.dir, "a.db")}, 1, "no such file or directory"},
		{[]string{"backup", "--store", "redis://localhost:1", filepath.Join(env.dir, "a.db")}, 2, "the store is a Redis, which has its own backup"},
		{[]string{"backup", "--store", "mysql:x", filepath.Join(env.dir, "a.db")}, 2, "is not a kind of store"},
	} {
		if code, _, errs := p.output(c.args...); code != c.code || !strings.Contains(inOneLine(errs), c.says) {
			t.Errorf("%q: exit status %d, %s, want %d and %q", c.args, code, errs, c.code, c.says)
		}
	}
	if data, err := os.ReadFile(there); err != nil || string(data) != "of another backup" {
		t.Errorf("the file that was there is %q, %v", data, err)
	}
	if code, out, errs := p.output("backup", "-"); code != 0 || len(out) < 4<<10 || !bytes.Contains([]byte(out), []byte("pipesteward")) {
		t.Errorf("to standard output: exit status %d, %d bytes, %s", code, len(out), errs)
	}
	p.stop()
	if code, _, errs := called(t, "backup", "--store", "bolt:"+path, filepath.Join(env.dir, "stopped.db")); code != 0 {
		t.Errorf("of a stopped server: exit status %d, %s", code, errs)
	}
	if code, _, errs := p.output("backup", filepath.Join(env.dir, "a.db")); code != 1 || !strings.Contains(errs, "no server answers") {
		t.Errorf("no server runs: exit status %d, %s", code, errs)
	}
	if left, err := filepath.Glob(filepath.Join(env.dir, "*a.db*")); err != nil || len(left) != 0 {
		t.Errorf("files %q are left, %v", left, err)
	}
	again := env.run("--store", "bolt:"+filepath.Join(env.dir, "stopped.db"))
	if code, _ := again.get("/readyz"); code != http.StatusOK {
		t.Errorf("with the backup as its store, /readyz is answered with %d", code)
	}
}

// TestBackupOfRedis: the server says what to do instead.
func TestBackupOfRedis(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run("--store", redistest.Start(t).URL())
	code, _, errs := p.output("backup", filepath.Join(env.dir, "a.db"))
	if code != 2 || !strings.Contains(inOneLine(errs), "the store is a Redis, which has its own backup: copy the directory appendonlydir") {
		t.Errorf("exit status %d, %s", code, errs)
	}
}
