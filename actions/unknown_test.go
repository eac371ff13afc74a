package actions_test

import (
	"fmt"
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const retryUnknown = `
version: 1
classes: [{name: disk-full, log: No space left}]
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry: {max_attempts: 2}]}
`

// failedWith makes a job that failed with a log.
func failedWith(h *actionstest.Harness, log string) gitlabtest.Job {
	return h.AddJob(gitlabtest.Job{Name: "build", Log: log}, "failed")
}

func clustersOf(h *actionstest.Harness) (texts []string) {
	h.Helper()
	l := unknown.Log{Store: h.DB}
	all, err := l.Clusters(h.Context(), unknown.Query{})
	if err != nil {
		h.Fatal(err)
	}
	for _, c := range all {
		texts = append(texts, fmt.Sprintf("%d %s, %d of %d", c.Failed, c.Text, c.Passed, c.Retried))
	}
	return texts
}

// A job is kept whose log a rule has read, and which no class covers, with what came of its
// retry; one that a class covers, and one that passed, are not.
func TestUnknownFailures(t *testing.T) {
	h := actionstest.New(t, retryUnknown)
	for _, log := range []string{"$ make\nlicense lic-1 refused job 12, password=hush-hush-1234\n", "$ tar x\ntar: No space left on device\n"} {
		job := failedWith(h, log)
		for range 2 { // of a group's hook, too
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
		}
		again := h.GitLab.Latest(job.PipelineID, "build")
		if again.ID == job.ID {
			t.Fatalf("the job was not retried: %s", h.Logs)
		}
		h.GitLab.Run(again.ID)
		h.GitLab.Finish(again.ID, "success", "")
		h.Deliver(h.GitLab.JobHookBody(again.ID))
		h.WorkOff()
	}
	if got, want := fmt.Sprint(clustersOf(h)), "[1 license lic-<n> refused job <n>, password=[masked], 1 of 1]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A log that no rule has read is not read for that, but counted.
func TestUnknownFailuresReadNoLog(t *testing.T) {
	h := actionstest.New(t, "version: 1\nclasses: [{name: disk-full, log: No space left}]\nrules: [{name: r, on: job, if: 'job.stage == \"none\" and job.failure_class == \"disk-full\"', actions: [retry]}]\n")
	for range 2 {
		h.Deliver(h.GitLab.JobHookBody(failedWith(h, "$ make\nboom\n").ID))
	}
	h.WorkOff()
	if n := h.GitLab.Count("GET", "/trace"); n != 0 || len(clustersOf(h)) != 0 || notReadOf(h) != 2 {
		t.Errorf("%d logs were read, clusters %q, %d logs were not read", n, clustersOf(h), notReadOf(h))
	}
}

func notReadOf(h *actionstest.Harness) int {
	h.Helper()
	l := unknown.Log{Store: h.DB}
	n, err := l.CountNotRead(h.Context(), unknown.Query{})
	if err != nil {
		h.Fatal(err)
	}
	return n
}

// With every_failure, the log of each failed job is read once, also if no rule is about it, and
// only of those that have one.
func TestUnknownFailuresOfAllJobs(t *testing.T) {
	h := actionstest.New(t, "version: 1\nclasses: {every_failure: true, include: [common]}\nrules: [{name: r, on: job, if: 'job.status == \"canceled\"', actions: [retry]}]\n")
	for _, log := range []string{"$ make\nlicense lic-1 refused job 12\n", "$ tar x\ntar: No space left on device\n"} {
		h.Deliver(h.GitLab.JobHookBody(failedWith(h, log).ID))
	}
	h.Deliver(h.GitLab.JobHookBody(h.AddJob(gitlabtest.Job{Name: "build", Log: "$ make\nfine\n"}, "success").ID))
	h.WorkOff()
	if got, want := fmt.Sprint(clustersOf(h)), "[1 license lic-<n> refused job <n>, 0 of 0]"; got != want || h.GitLab.Count("GET", "/trace") != 2 || notReadOf(h) != 0 {
		t.Errorf("%s, want %s; %d logs were read, %d were not", got, want, h.GitLab.Count("GET", "/trace"), notReadOf(h))
	}
}

// A kill at any step neither loses a failure nor counts it twice.
func TestUnknownFailuresKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		h.Deliver(h.GitLab.JobHookBody(failedWith(h, "$ make\nlicense lic-1 refused job 12\n").ID))
	}, retryUnknown, func(h *actionstest.Harness, when string) {
		if got, want := fmt.Sprint(clustersOf(h)), "[1 license lic-<n> refused job <n>, 0 of 0]"; got != want {
			h.Errorf("%s: %s, want %s", when, got, want)
		}
	})
}
