package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/store/redistest"
)

const classRules = `
version: 1
classes: {include: [common]}
rules:
  - {name: dns, on: job, if: job.status == "failed" and job.failure_class == "dns", actions: [retry]}
`

// TestUnknownOfReplicas: failures that differ in ids only are one group, whichever replica
// worked on them; those of a class of the pack are none. What is proposed for the group is
// loaded by check, and its test passes.
func TestUnknownOfReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", classRules)
	redis := redistest.Start(t)
	one, other := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	one.wants([]string{"unknown"}, "no failed jobs without a class")
	if _, _, errs := one.output("unknown"); !strings.Contains(errs, "the logs of 0 failed jobs were not read") || !strings.Contains(errs, "every_failure: true") {
		t.Errorf("unknown does not say which logs were not read: %s", errs)
	}
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	for i, log := range []string{
		"$ make\nlicense server lic-1.example.com refused job 8801\nERROR: Job failed: exit code 1\n",
		"$ make\nlicense server lic-2.example.com refused job 8802\nERROR: Job failed: exit code 1\n",
		"$ make\nlicense server lic-1.example.com refused job 8803\nERROR: Job failed: exit code 1\n",
		"$ curl -O https://a.example.com\ncurl: (6) Could not resolve host: a.example.com\n",
	} {
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build", Log: log})
		job := env.gitlab.Latest(pipeline.ID, "build")
		env.gitlab.Finish(job.ID, "failed", "script_failure")
		p := []*program{one, other}[i%2]
		p.post(env.gitlab.JobHookBody(job.ID))
		p.workedOff()
	}
	for _, p := range []*program{one, other} {
		all := list[unknown.Cluster](p, "unknown")
		if len(all) != 1 || all[0].Failed != 3 || all[0].Text != "license server <host> refused job <n>" || len(all[0].Projects) != 1 {
			t.Fatalf("groups %+v", all)
		}
	}
	group := list[unknown.Cluster](one, "unknown", "--project", "platform/*", "--since", "1h")[0]
	one.wants([]string{"unknown"}, group.ID, "license server <host> refused job <n>", "0 of 0")
	one.refuses([]string{"propose", "none"}, `there is no group "none"`)

	good := env.write("good.log", "$ make\nlicense server lic-1.example.com is fine\n")
	rules := env.write("proposed.yaml", one.wants([]string{"propose", group.ID, "--part", "rules", "--passing", good}, "matches 0 of 1 log of jobs that passed"))
	test := env.write("proposed.test.yaml", other.wants([]string{"propose", group.ID, "--part", "test"}))
	for _, args := range [][]string{{"check", "--strict", rules}, {"test", "--require-coverage", test}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"pipesteward"}, args...), &out, &errs); code != 0 {
			t.Errorf("%q: %d %s%s", args, code, out.String(), errs.String())
		}
	}
	if err := os.Mkdir(env.path("logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	env.write("logs/bad.log", "$ make\nlicense server lic-7.example.com refused job 1, tried again\n")
	// A log in the cache of a backtest is tried, too.
	passed := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build", Log: "$ make\nlicense server lic-9.example.com refused job 9, tried again\n"})
	env.gitlab.Finish(env.gitlab.Latest(passed.ID, "build").ID, "success", "")
	var report, problems bytes.Buffer
	if code := run(t.Context(), []string{"pipesteward", "backtest", "--rules", env.path("rules.yaml"), "--cache", env.path("cache"), "--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--project", "platform/*", "--since", "1h", "--passing-logs", "2"}, &report, &problems); code != 0 {
		t.Fatalf("backtest exits with %d\n%s%s", code, report.String(), problems.String())
	}
	if !strings.Contains(report.String(), group.ID) {
		t.Errorf("the backtest does not name the group %s:\n%s", group.ID, report.String())
	}
	code, out, errs := one.output("propose", group.ID, "--passing", good, "--cache", env.path("cache"))
	if code != 1 || !strings.Contains(out, "matches 1 of 2 logs") || !strings.Contains(errs, "passing-") {
		t.Errorf("exit status %d\n%s%s", code, out, errs)
	}
	one.refuses([]string{"propose", group.ID, "--cache", env.path("nothing")}, "--cache: ")
	code, out, errs = one.output("propose", group.ID, "--passing", good, "--cache", t.TempDir())
	if code != 0 || !strings.Contains(errs, "matches none of 1 log of jobs that passed") || strings.Contains(out+errs, "WARNING") {
		t.Errorf("exit status %d\n%s%s", code, out, errs)
	}
	code, out, errs = one.output("propose", group.ID, "--cache", t.TempDir())
	if code != 0 || !strings.Contains(out, "# WARNING: ") || !strings.Contains(errs, "WARNING: ") || !strings.Contains(errs, "backtest --project") {
		t.Errorf("exit status %d\n%s%s", code, out, errs)
	}
	generic := env.gitlab.Latest(env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build", Log: "$ make\nerror: x\nERROR: Job failed: exit code 1\n"}).ID, "build")
	env.gitlab.Finish(generic.ID, "failed", "script_failure")
	one.post(env.gitlab.JobHookBody(generic.ID))
	one.workedOff()
	all := list[unknown.Cluster](one, "unknown")
	code, out, errs = one.output("propose", all[len(all)-1].ID)
	if code != 1 || out != "" || !strings.Contains(errs, `"error: x", because that says too little`) {
		t.Errorf("exit status %d\n%s%s", code, out, errs)
	}
	code, out, errs = one.output("propose", group.ID, "--passing", env.path("logs"), "--passing", good)
	if code != 1 || !strings.Contains(out, "matches 1 of 2 logs") || !strings.Contains(out, "\n---\n") || !strings.Contains(errs, "logs/bad.log") {
		t.Errorf("exit status %d\n%s%s", code, out, errs)
	}
}
