package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// send posts JSON to the admin address.
func (p *program) send(path, body string) (code int, answer string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.admin+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestHooksOnRequest: with --ensure-hooks, a request repairs a webhook before the next round is
// due, and is listed as a change; without it, webhooks are read only.
func TestHooksOnRequest(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, DisablesHooks: true, Free: true})
	public, reached := env.publicAddress()
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := env.run("--ensure-hooks", "--webhook-url", public, "--projects", "platform")
	reached(p.webhooks)
	listed := func(what string) func() bool {
		return func() bool {
			_, answer := p.get("/api/v1/hooks")
			return strings.Contains(answer, what) && !strings.Contains(answer, `"running"`)
		}
	}
	p.eventually("the first round is listed", listed(`"done":["created webhook`))
	hook := env.gitlab.Hooks()[0]
	env.gitlab.DisableHook(hook.ID, time.Time{})
	if code, answer := p.send("/api/v1/hooks", `{"by":"ada"}`); code != http.StatusOK {
		t.Fatalf("reading: %d %s", code, answer)
	}
	p.eventually("the dead webhook is listed", listed(`"verdict":"disabled"`))
	if code, answer := p.send("/api/v1/hooks", `{"ensure":true,"by":"ada"}`); code != http.StatusOK {
		t.Fatalf("repairing: %d %s", code, answer)
	}
	p.eventually("it is enabled", func() bool { return env.gitlab.Hook(hook.ID).RecentFailures == 0 && listed(`"verdict":"ok"`)() })
	if all := p.changes(); len(all) != 1 || all[0].Action != event.ChangeHooks || all[0].By != "ada" {
		t.Errorf("the changes are %+v", all)
	}
	p.stop()

	p = env.run("--webhook-url", public, "--projects", "platform")
	if code, answer := p.send("/api/v1/hooks", `{"ensure":true}`); code != http.StatusConflict || !strings.Contains(answer, "--ensure-hooks") {
		t.Errorf("without the setting: %d %s", code, answer)
	}
	p.eventually("what was found is still listed", listed(`"verdict":"ok"`))
}
