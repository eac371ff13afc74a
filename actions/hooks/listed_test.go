package hooks_test

import (
	"fmt"
	"net/http"
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

// TestListOfAnOutage: of what a look does not reach, because GitLab is away from some request
// on, the list has what was seen before.
func TestListOfAnOutage(t *testing.T) {
	t.Parallel()
	reached := 0
	for answered := range 6 {
		k := newKeeping(t, "platform/shop", "platform/stock")
		k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
		k.GitLab.AddProject(gitlabtest.Project{Path: "platform/stock"})
		k.list(k.keeper.Ensure())
		k.GitLab.DisableHook(k.GitLab.Hooks()[0].ID, time.Time{})
		k.GitLab.Fail(gitlabtest.Fault{Skip: answered, Times: -1, Status: http.StatusUnauthorized})
		if err := k.config.Listed.Do(t.Context(), k.config.Look()); err == nil {
			t.Fatalf("a look during which GitLab answers %d requests has no error", answered)
		}
		last, _, err := k.config.Listed.Last(t.Context())
		if err != nil || last.Error == "" {
			t.Errorf("after %d answers, the last look has no error (%v)", answered, err)
		}
		seen := map[string]hooks.Verdict{}
		for _, r := range last.Found.Reports {
			seen[r.Owner] = r.Verdict
		}
		if seen["platform/shop"] == hooks.Disabled {
			reached++
		} else if seen["platform/shop"] != hooks.OK {
			t.Errorf("after %d answers, the list has %q of the first project", answered, seen["platform/shop"])
		}
		if seen["platform/stock"] != hooks.OK || len(last.Found.Reports) != 2 {
			t.Errorf("after %d answers, the list has %+v", answered, last.Found.Reports)
		}
	}
	if reached == 0 || reached == 6 {
		t.Errorf("%d of 6 looks have reached the first project, want some", reached)
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
