package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// TestJSON: what is printed has no null for an empty list, and steers no terminal; what
// encodes itself, or is no list, stays as it is.
func TestJSON(t *testing.T) {
	t.Parallel()
	type item struct {
		Names []string        `json:"names"`
		Raw   json.RawMessage `json:"raw"`
		At    time.Time       `json:"at"`
		Of    *item           `json:"of"`
		Items []item          `json:"items,omitempty"`
	}
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"nothing", nil, "null\n"},
		{"a list", []string(nil), "[]\n"},
		{"a map", map[string]string(nil), "null\n"},
		{"an item", item{}, `{"names":[],"raw":null,"at":"0001-01-01T00:00:00Z","of":null}` + "\n"},
		{"items in items", []item{{Of: &item{}, Items: []item{{Names: []string{"a"}}}}}, `[{"names":[],"raw":null,"at":"0001-01-01T00:00:00Z","of":{"names":[],"raw":null,"at":"0001-01-01T00:00:00Z","of":null},` +
			`"items":[{"names":["a"],"raw":null,"at":"0001-01-01T00:00:00Z","of":null}]}]` + "\n"},
		{"control characters", "a\x1b[31m\u009b\u202e\x7f\n<ü>", `"a\u001b[31m\u009b\u202e\u007f\n<ü>"` + "\n"},
	} {
		var b bytes.Buffer
		if err := writeJSON(&b, c.value, ""); err != nil || b.String() != c.want {
			t.Errorf("%s: %v\n%s\nwant %s", c.name, err, b.String(), c.want)
		}
	}
	var b bytes.Buffer
	if err := writeJSON(&b, map[string]any{"a": 1, "b": func() {}}, ""); err == nil || b.Len() > 0 {
		t.Errorf("%v, and %q is printed", err, b.String())
	}
}

// TestEveryJSON: each command with --json prints one JSON document without null, where there
// is nothing to list, and with a status that tells success from failure.
func TestEveryJSON(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	env.write("rules.yaml", testRules+"  - {name: old-logs, on: schedule, schedule: {cron: '0 3 * * *', projects: [platform/shop]}, actions: [erase]}\n")
	p := env.run()
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	env.gitlab.AddHook(gitlabtest.Hook{ProjectID: project.ID, URL: "https://bot.example.com/webhooks/gitlab"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	job := env.gitlab.Latest(pipeline.ID, "rspec")
	hourAgo := time.Now().Add(-time.Hour)
	env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build", Status: "success", CreatedAt: hourAgo, StartedAt: hourAgo, FinishedAt: hourAgo})
	hook := env.write("job.json", string(env.gitlab.JobHookBody(job.ID)))
	gitlab := []string{"--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m"}
	rules := []string{"--rules", filepath.Join(env.dir, "rules.yaml")}
	store := []string{"--store", "bolt:" + filepath.Join(env.dir, "json.db")}
	admin := []string{"--admin-url", p.admin}
	for _, c := range []struct {
		command string
		args    [][]string
		code    int
	}{
		{command: "status", args: [][]string{admin}},
		{command: "decisions", args: [][]string{admin}},
		{command: "report", args: [][]string{admin}},
		{command: "deliveries", args: [][]string{admin}},
		{command: "unknown", args: [][]string{admin}},
		{command: "queue list", args: [][]string{admin}},
		{command: "queue list --dead", args: [][]string{admin}},
		{command: "pause --rule retry-stuck", args: [][]string{admin}},
		{command: "resume --every", args: [][]string{admin}},
		{command: "mute --rule retry-stuck", args: [][]string{admin}},
		{command: "unmute --every", args: [][]string{admin}},
		{command: "queue requeue nosuch", args: [][]string{admin}, code: 1},
		{command: "queue drop --yes nosuch", args: [][]string{admin}, code: 1},
		{command: "why " + env.page(job), args: [][]string{admin}},
		{command: "doctor", args: [][]string{admin, gitlab, rules, store, {"--webhook-token", testSecret, "--slack-api-url", env.slack.URL()}}},
		{command: "explain", args: [][]string{{"--gitlab-url", env.gitlab.URL(), "--event", hook}, rules}},
		{command: "catch-up", args: [][]string{gitlab, rules, store}},
		{command: "sweep", args: [][]string{gitlab, rules, store}},
		{command: "backtest --project platform/shop", args: [][]string{gitlab, rules, {"--cache", t.TempDir()}}},
		{command: "backtest --project platform/shop --project nosuch", args: [][]string{gitlab, rules, {"--cache", t.TempDir()}}, code: 1},
		{command: "hooks list platform/shop", args: [][]string{gitlab}},
		{command: "hooks list nosuch", args: [][]string{gitlab}, code: 1},
		{command: "hooks list platform/shop nosuch", args: [][]string{gitlab}, code: 1},
		{command: "hooks ensure nosuch", args: [][]string{gitlab, {"--webhook-url", p.webhooks, "--webhook-token", testSecret}}, code: 1},
		{command: "hooks ensure --dry-run platform/shop", args: [][]string{gitlab, {"--webhook-url", p.webhooks, "--webhook-token", testSecret}}},
	} {
		args := strings.Fields(c.command)
		for _, more := range c.args {
			args = append(args, more...)
		}
		code, stdout, stderr := called(t, append(args, "--json")...)
		if !json.Valid([]byte(stdout)) || strings.Contains(stdout, "null") || code != c.code {
			t.Errorf("%s: exit status %d, want %d and JSON without null\n%s%s", c.command, code, c.code, stdout, stderr)
		}
	}
	tested := []string{"status", "decisions", "report", "deliveries", "unknown", "queue list", "queue requeue", "queue drop", "pause", "resume", "mute", "unmute", "why", "doctor", "explain", "catch-up", "sweep", "backtest", "hooks list", "hooks ensure"}
	eachCommand(func(c *cli.Command, words []string) {
		for _, f := range c.Flags {
			name := strings.Join(words, " ")
			if f.Names()[0] == "json" && !strings.Contains(strings.Join(tested, ",")+",", name+",") {
				t.Errorf("%s has --json, and is not tested here", name)
			}
		}
	})
}
