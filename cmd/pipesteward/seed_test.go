package main

import (
	"encoding/json"
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TestSeed: what a backtest has found is added to what a running server knows of retries, each
// try once, as a change of an operator; a server that works with another GitLab refuses it.
func TestSeed(t *testing.T) {
	t.Parallel()
	past := week(t)
	env := newEnvironment(t)
	other := newEnvironment(t).run()
	env.gitlab = past.gitlab
	server := env.run()
	for _, says := range []string{
		"2 runs that were run again added to what the server knows of retries; 0 were known, 1 says nothing about a retry at once",
		"0 runs that were run again added to what the server knows of retries; 2 were known, 1 says nothing",
	} {
		code, stdout, stderr := past.backtest(t.Context(), "--project", "platform/*", "--seed", "--admin-url", server.admin)
		if code != 0 {
			t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
		}
		past.said(stderr, says)
		past.said(stdout, "The rules would have made 4 retries.")
		server.workedOff()
	}
	var page struct{ Changes []event.Change }
	if _, body := server.get("/api/v1/changes"); json.Unmarshal([]byte(body), &page) != nil {
		t.Fatal(body)
	}
	if len(page.Changes) != 1 || page.Changes[0].Action != event.ChangeSeed || page.Changes[0].Target != "2 tries" || page.Changes[0].Reason != "pipesteward backtest --seed" {
		t.Errorf("changes %+v", page.Changes)
	}
	code, _, stderr := past.backtest(t.Context(), "--project", "platform/*", "--seed", "--admin-url", other.admin)
	if code != 1 {
		t.Errorf("exit status %d with another GitLab", code)
	}
	past.said(stderr, "--seed: the tries are of the GitLab", "and this server works with")
}
