package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pipesteward/pipesteward/handlers/admin"
)

// rulesState is what /api/v1/rules says.
func (p *program) rulesState() admin.RulesState {
	p.Helper()
	var s admin.RulesState
	_, text := p.get("/api/v1/rules")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		p.Fatalf("%v in %s", err, text)
	}
	return s
}

// inForce waits until the rule of the name is the only one in force.
func (p *program) inForce(name string) {
	p.Helper()
	p.eventually(name+" is in force", func() bool {
		s := p.rulesState()
		return len(s.Rules) == 1 && s.Rules[0].Name == name && s.Error == ""
	})
}

func ruleNamed(name string) string { return strings.Replace(testRules, "retry-stuck", name, 1) }

// Rule files are followed while the program runs. Those that can't be used
// leave the rules as they are, and it shows.
func TestRulesAreFollowed(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.serve()
	p.inForce("retry-stuck")
	metric := func(value string) bool {
		_, text := p.get("/metrics")
		return strings.Contains(text, "\npipesteward_rules_last_load_successful "+value+"\n")
	}
	env.write("rules.yaml", ruleNamed("second"))
	p.inForce("second")
	if !metric("1") {
		t.Error("the metric does not say that the rules could be loaded")
	}

	before := p.rulesState()
	env.write("rules.yaml", "version: 1\nrules: [{name: broken, on: jobs}]\n")
	p.eventually("the error is reported", func() bool { return p.rulesState().Error != "" })
	s := p.rulesState()
	if s.Rules[0].Name != "second" || s.Hash != before.Hash || s.FailedAt.IsZero() || !strings.Contains(s.Error, `did you mean "job"?`) {
		t.Errorf("after a broken change: %+v", s)
	}
	if !metric("0") {
		t.Error("the metric does not say that the rules can't be used")
	}
	p.eventually("the error is logged", func() bool { return strings.Contains(p.logged(), "the rules in force stay") })

	job := env.stuckJob()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	if all := p.outcomes(); len(all) != 1 || all[0].Rule != "second" || all[0].RulesHash != before.Rules[0].Hash || all[0].Explanation.If.Result != "true" {
		t.Errorf("outcomes %+v, want one of the rule in force, with its file's hash and its explanation", all)
	}

	env.write("rules.yaml", ruleNamed("second"))
	p.inForce("second")
	loaded := p.rulesState().LoadedAt
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.eventually("SIGHUP loads the rules anew", func() bool { return p.rulesState().LoadedAt.After(loaded) })
}

// Kubernetes replaces the files of a ConfigMap all at once: they are symlinks
// through a symlink, which is renamed.
func TestRulesOfAConfigMap(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	volume := filepath.Join(env.dir, "volume")
	publish := func(version, text string) {
		t.Helper()
		link := filepath.Join(volume, "..data_tmp")
		for _, err := range []error{
			os.MkdirAll(filepath.Join(volume, version), 0o750),
			os.WriteFile(filepath.Join(volume, version, "rules.yaml"), []byte(text), 0o600),
			os.Symlink(version, link),
			os.Rename(link, filepath.Join(volume, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("..2026_11_22_1", ruleNamed("first"))
	if err := os.Symlink(filepath.Join("..data", "rules.yaml"), filepath.Join(volume, "rules.yaml")); err != nil {
		t.Fatal(err)
	}
	file, directory := env.run("--rules", filepath.Join(volume, "rules.yaml")), env.run("--rules", volume, "--store", "bolt:"+filepath.Join(env.dir, "second.db"))
	file.inForce("first")
	directory.inForce("first")
	publish("..2026_11_22_2", ruleNamed("second"))
	if err := os.RemoveAll(filepath.Join(volume, "..2026_11_22_1")); err != nil {
		t.Fatal(err)
	}
	file.inForce("second")
	directory.inForce("second")
}

// git-sync publishes each commit as a worktree, by a symlink that is renamed, and deletes
// the worktree before. The rules are followed, in a directory and as a file, from one
// commit to the next.
func TestRulesOfGitSync(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	root := filepath.Join(env.dir, "git")
	publish := func(commit, text string) {
		t.Helper()
		worktree := filepath.Join(root, ".worktrees", commit)
		for _, err := range []error{
			os.MkdirAll(filepath.Join(worktree, "rules"), 0o750),
			os.WriteFile(filepath.Join(worktree, "rules", "rules.yaml"), []byte(text), 0o600),
			os.Symlink(filepath.Join(".worktrees", commit), filepath.Join(root, "tmp-link")),
			os.Rename(filepath.Join(root, "tmp-link"), filepath.Join(root, "current")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("c1", ruleNamed("first"))
	rules := filepath.Join(root, "current", "rules")
	directory, file := env.run("--rules", rules), env.run("--rules", filepath.Join(rules, "rules.yaml"), "--store", "bolt:"+filepath.Join(env.dir, "second.db"))
	directory.inForce("first")
	file.inForce("first")
	before := "c1"
	for _, commit := range []string{"c2", "c3", "c4"} {
		publish(commit, ruleNamed("rule-"+commit))
		if err := os.RemoveAll(filepath.Join(root, ".worktrees", before)); err != nil {
			t.Fatal(err)
		}
		directory.inForce("rule-" + commit)
		file.inForce("rule-" + commit)
		before = commit
	}
}
