package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// TestDecisionsOverReplicas: what one replica decides and a person changes there, another one
// finds at once, by its index: that knows when nothing older matches.
func TestDecisionsOverReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", delayedRules)
	redis := redistest.Start(t)
	first, second := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	find := func(p *program, query string) (page admin.DecisionsPage) {
		t.Helper()
		code, text := p.get("/api/v1/decisions?" + query)
		if err := json.Unmarshal([]byte(text), &page); err != nil || code != http.StatusOK {
			t.Fatalf("%s is answered with %d %s", query, code, text)
		}
		return page
	}
	for _, path := range []string{"platform/old", "platform/shop", "platform/new"} {
		first.post(env.gitlab.JobHookBody(env.stuckJobOf(path).ID))
		first.eventually("the retry waits", func() bool { return len(find(first, "project="+path).Decisions) == 1 })
		if found := find(second, "project="+path); len(found.Decisions) != 1 {
			t.Errorf("the other replica finds %+v of %s, want its decision", found, path)
		}
	}
	second.eventually("the index is built", func() bool { return find(second, "project=*/new&limit=1").Next == "" })
	for _, query := range []string{"text=SHOP&outcome=waiting", "project=*/shop&action=retry&rule=retry-stuck"} {
		found := find(second, query+"&limit=1")
		if len(found.Decisions) != 1 || found.Decisions[0].Project.Path != "platform/shop" || found.Next != "" {
			t.Errorf("%s finds %+v, want the decision about platform/shop alone", query, found)
		}
	}

	records := list[admin.QueuedRecord](first, "queue", "list", "--project", "platform/shop")
	if len(records) != 1 {
		t.Fatalf("records %+v, want one", records)
	}
	first.wants([]string{"queue", "drop", records[0].ID, "--yes", "--by", "ann"}, records[0].ID)
	for query, want := range map[string]int{"outcome=waiting": 2, "outcome=skipped": 1, "text=by+ANN": 1, "outcome=skipped&text=old": 0} {
		for _, p := range []*program{first, second} {
			if found := find(p, query); len(found.Decisions) != want || found.Next != "" {
				t.Errorf("%s finds %+v, want %d", query, found, want)
			}
		}
	}
	if found := find(second, "outcome=skipped"); len(found.Decisions) == 1 && found.Decisions[0].Result != event.ResultSkipped {
		t.Errorf("the decision is shown with %q", found.Decisions[0].Result)
	}
}
