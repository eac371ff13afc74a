package hooks_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/hooks"
)

// list does the work, and returns what the service then knows of the webhooks.
func (k *keeping) list(work background.Work[hooks.List]) hooks.List {
	k.Helper()
	if err := k.config.Listed.Do(k.Context(), work); err != nil {
		k.Fatal(err)
	}
	last, ok, err := k.config.Listed.Last(k.Context())
	if !ok || err != nil {
		k.Fatalf("the webhooks are not listed: %v", err)
	}
	return last.Found
}

// TestListed: a look reads only; repairs that are requested are held to pauses and dry run,
// and the list says what was done, and why it was not.
func TestListed(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})

	l := k.list(k.config.Look())
	if len(l.Reports) != 1 || l.Reports[0].Verdict != hooks.Missing || l.Ensured || len(k.GitLab.Hooks()) != 0 {
		t.Errorf("a look finds %+v, and there are %d webhooks", l, len(k.GitLab.Hooks()))
	}
	k.held = "paused (all)"
	if l = k.list(k.keeper.Ensure()); l.Reports[0].Held != k.held || len(l.Reports[0].Todo) == 0 || len(k.GitLab.Hooks()) != 0 {
		t.Errorf("while it is paused: %+v, and there are %d webhooks", l, len(k.GitLab.Hooks()))
	}
	k.held = ""
	k.config.DryRun = true
	if l = k.list(hooks.NewKeeper(k.config).Ensure()); l.Reports[0].Held != "dry run" || len(k.GitLab.Hooks()) != 0 {
		t.Errorf("in a dry run: %+v, and there are %d webhooks", l, len(k.GitLab.Hooks()))
	}
	if l = k.list(k.keeper.Ensure()); len(l.Reports[0].Done) == 0 || !l.Ensured || l.Reports[0].IsWrong() || len(k.GitLab.Hooks()) != 1 {
		t.Errorf("it is not repaired: %+v, and there are %d webhooks", l, len(k.GitLab.Hooks()))
	}
	k.GitLab.DisableHook(1, time.Time{})
	if l = k.list(k.config.Look()); l.Reports[0].Verdict != hooks.Disabled || !strings.Contains(strings.Join(l.Reports[0].Findings, " "), "GitLab has stopped sending") {
		t.Errorf("a look at a dead webhook finds %+v", l)
	}
}

// TestListIsBounded: a list of very many projects has those that are wrong.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	for i := range 1003 {
		k.GitLab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/p%04d", i)})
	}
	k.list(k.keeper.Ensure())
	k.GitLab.DisableHook(k.GitLab.Hooks()[1002].ID, time.Time{})
	if l := k.list(k.config.Look()); len(l.Reports) != 1000 || l.More != 3 || l.Reports[0].Verdict != hooks.Disabled || l.Counts.All() != 1003 {
		t.Errorf("%d are listed, %d are not, of %d; the first is %+v", len(l.Reports), l.More, l.Counts.All(), l.Reports[0])
	}
}
