package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

const pageRules = `
version: 1
defaults: {channel: "#ci", group: false}
classes: {every_failure: true}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure") and not (project.path startsWith "sandbox/")
    actions: [retry: {max_attempts: 3, allow_stale: true}]
  - name: retry-later
    on: job
    if: failed_with("api_failure")
    actions: [retry: {delay: 2h, max_delay: 2h, allow_stale: true}]
  - name: try-out
    on: job
    if: failed_with("runner_system_failure")
    dry_run: true
    actions: [retry: {allow_stale: true}]
  - name: once-only
    on: job
    if: failed_with("script_failure") and (job.stage == "test" or job.name contains "deploy")
    actions: [retry: {max_attempts: 1, allow_stale: true}]
`

// scriptName is the name of a job that would run a script where it is not escaped.
const scriptName = `rspec "><img src=x onerror=alert(1)>`

// fails makes a pipeline with a job that failed for a reason, and posts its event.
func (env *environment) fails(p *program, path, name, reason string) gitlabtest.Job {
	env.Helper()
	project := env.gitlab.AddProject(gitlabtest.Project{Path: path})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: name})
	job := env.gitlab.Latest(pipeline.ID, name)
	if reason == "script_failure" { // it has a log
		env.gitlab.Run(job.ID)
		env.gitlab.SetLog(job.ID, "$ make deploy\ncould not reserve address 10.1.2.3 of pool staging-eu for the release\nERROR: Job failed: exit code 1\n")
	}
	env.gitlab.Finish(job.ID, "failed", reason)
	if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
		env.Fatalf("the event of %s is answered with %d", name, code)
	}
	return job
}

// runPage runs a program with something of each kind to look at.
func (env *environment) runPage(more ...string) (p *program, dead string) {
	env.Helper()
	env.write("rules.yaml", pageRules)
	server := redistest.Start(env.T)
	dead = env.buriedEvent(server.URL(), env.stuckJobOf("platform/dead"))
	p = env.run(append([]string{"--store", server.URL()}, more...)...)
	env.fails(p, "platform/shop", "rspec", "stuck_or_timeout_failure")
	env.fails(p, "platform/shop-with-a-rather-long-name/backend", scriptName, "api_failure")
	env.fails(p, "mobile/app", "build ios", "runner_system_failure")
	env.fails(p, "mobile/android", "deploy", "script_failure")
	p.eventually("all is decided", func() bool {
		waiting := 0
		all := p.outcomes()
		for _, o := range all {
			if o.Result == "" {
				waiting++
			}
		}
		return len(all) == 4 && waiting == 1
	})
	return p, dead
}

// TestPageInBrowser uses the page as a person does, with a keyboard, with a mouse and on a
// phone.
func TestPageInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	t.Parallel()
	env := newEnvironment(t)
	p, dead := env.runPage()
	job := p.outcomes()[3].Job
	var unclassified struct{ Clusters []struct{ ID string } }
	p.eventually("a failure is of no class", func() bool {
		_, text := p.get("/api/v1/unknown")
		return json.Unmarshal([]byte(text), &unclassified) == nil && len(unclassified.Clusters) == 1
	})
	b := p.browse()

	b.open("/")
	b.says("1 dead record", "retry rspec", "can be used", "each 5m by itself; none requested")
	b.click(`header nav a[href="/decisions"]`)
	b.at("/decisions")
	b.says("retry deploy", "gave up", "dry run", scriptName)

	// By keyboard: search, first row, its decision, its story.
	b.key("/")
	b.press("STUCK_or\r")
	b.at("text=STUCK_or")
	b.saysNot("retry deploy")
	b.press("j\r")
	b.at("/decision?id=")
	b.says("Why the rule matched", `failed_with("stuck_or_timeout_failure")`, "true")
	b.click("a.button")
	b.at("/story?url=")
	b.says("What happened", "What the rules made of", "retry-later")

	// Each view has a key; one that is none opens nothing, and ends what g began.
	for _, keys := range []struct{ keys, at string }{{"gh", "/changes"}, {"gv", "/deliveries"}, {"g'gw", "/webhooks"}} {
		for _, key := range keys.keys {
			b.key(string(key))
		}
		b.at(keys.at)
	}

	// What the rules did, and what no class covers, by clicks from one to the next.
	b.click(`header nav a[href="/rules"]`)
	b.says("try-out", "rules.yaml:", "matches")
	b.click(`a.row[href="/decisions?rule=try-out"]`)
	b.at("/decisions?rule=try-out")
	b.says("dry run")
	b.click(`header nav a[href="/unknown"]`)
	b.says("could not reserve address")
	b.click("a.row")
	b.at("/proposal?id=")
	b.says("For the rule file", "version: 1", "Copy", "Story of job")
	b.click(`header nav a[href="/limits"]`)
	b.says("No breaker has opened", "all projects", "platform/shop")
	b.click(`header nav a[href="/report"]`)
	b.says("Retries a day", "once-only", "JSON")
	b.click(`header nav a[href="/deliveries"]`)
	b.says("202 stored", "job rspec")

	// Whether all is in order, and who has no webhook.
	b.click(`header nav a[href="/doctor"]`)
	b.says("token-scopes", "scope api", "in order")
	b.saysNot("project-role")
	b.click("input[name=all]")
	b.fill("input[name=by]", "Ada")
	b.click("button[value=check]")
	b.says("The checks have begun", "requested by Ada", "project-role", "no webhook posts job and pipeline events", "problems found")
	b.click(`header nav a[href="/webhooks"]`)
	b.says("The webhooks were not read yet.", "--ensure-hooks")
	b.click("button[value=read]")
	b.says("The webhooks are being read", "4 of 4 projects and groups need attention", "platform/shop", "missing")

	for _, view := range []struct{ name, path string }{
		{"overview", "/"},
		{"decisions", "/decisions"},
		{"filtered", "/decisions?outcome=done&text=rspec"},
		{"nothing", "/decisions?text=nowhere"},
		{"queue", "/queue"},
		{"dead", "/dead"},
		{"pauses", "/pauses"},
		{"mutes", "/mutes"},
		{"rules", "/rules"},
		{"limits", "/limits"},
		{"unknown", "/unknown"},
		{"proposal", "/proposal?id=" + url.QueryEscape(unclassified.Clusters[0].ID)},
		{"report", "/report?since=1d"},
		{"deliveries", "/deliveries"},
		{"webhooks", "/webhooks"},
		{"doctor", "/doctor"},
		{"changes", "/changes"},
		{"decision", "/decision?id=" + url.QueryEscape(p.outcomes()[0].ID)},
		{"story", "/story?url=" + url.QueryEscape(job.URL)},
		{"stories", "/story"},
		{"wrong", "/decisions?since=yesterday"},
		{"mistyped", "/decisions?when=2h"},
		{"nowhere", "/nowhere"},
	} {
		b.open(view.path)
		b.shows(view.name, 1280, "light")
		b.shows(view.name, 360, "dark")
	}
	b.do("a large screen", chromedp.EmulateViewport(1280, 900))

	// What changes is shown without loading the page again.
	b.open("/decisions")
	b.says("Live.")
	env.fails(p, "platform/live", "fresh", "runner_system_failure")
	b.says("retry fresh")

	// A pause, and its end.
	b.open("/pauses")
	b.fill("input[name=project]", "platform/**")
	b.fill(".change input[name=reason]", "runners are replaced")
	b.fill(".change input[name=by]", "Ada")
	b.click("button[value=pause]")
	b.says("The pause is in force.", "projects platform/**", "1 pause", "runners are replaced")
	b.shows("paused", 1280, "light")
	b.shows("paused", 360, "dark")
	b.open("/decisions?project=*/*")
	b.shows("picture", 1280, "light") // for README.md
	b.open("/pauses")
	b.click(".ask summary")
	b.click("button[value=resume]")
	b.says("The pause has ended", "Nothing is paused.")

	// A mute, catch-up and new rules, each with who did it.
	b.open("/mutes")
	b.fill("input[name=channel]", "#ci")
	b.fill("input[name=by]", "Ada")
	b.click("button[value=mute]")
	b.says("The mute is in force.", "channel:ci", "1 mute")
	b.click(".ask summary")
	b.click("button[value=unmute]")
	b.says("The mute has ended", "Nothing is muted.")
	b.open("/rules")
	b.click(".more summary")
	b.fill("input[name=by]", "Ada")
	b.shows("reload", 360, "light")
	b.do("a large screen", chromedp.EmulateViewport(1280, 900))
	b.click("button[value=reload]")
	b.says("were read again")
	b.open("/deliveries")
	b.click(".more summary")
	b.fill("input[name=by]", "Ada")
	b.click("button[value=catch-up]")
	b.says("Catch-up has begun", "by Ada")
	b.open("/changes")
	b.says("catch up", "reload", "unmute", "runners are replaced")
	b.shows("changed", 1280, "light")
	b.shows("changed", 360, "dark")
	b.do("a large screen", chromedp.EmulateViewport(1280, 900))

	// A dead record is put back, and carried out.
	b.open("/dead")
	b.says("a bug that is mended")
	b.click(".ask summary")
	b.shows("requeue", 360, "light")
	b.do("a large screen", chromedp.EmulateViewport(1280, 900))
	b.fill(".ask[open] input[name=by]", "Ada")
	b.fill(".ask[open] input[name=reason]", "it is mended")
	b.click(".ask[open] button")
	b.says("The record is in the queue again", "No record is dead")
	p.eventually("the job is retried", func() bool { return env.gitlab.Count("POST", "/retry") == 2 })

	// Without a script, a record is dropped by a plain form.
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open("/queue")
	b.click(".ask summary")
	b.click(".ask[open] button.danger")
	b.says("The record is dropped.")
	p.eventually("the queue is empty", func() bool {
		d, ok := p.depth()
		return ok && d.queued() == 0
	})
	var made []string
	for _, c := range p.changes() {
		made = append(made, strings.TrimSpace(c.Action+" "+c.Target+" by "+c.By))
	}
	all := strings.Join(made, "\n")
	for _, want := range []string{"pause project:platform/** by Ada", "resume project:platform/** by", "requeue " + dead + " by Ada", "drop decision:"} {
		if !strings.Contains(all, want) {
			t.Errorf("the changes are\n%s\nwant %q", all, want)
		}
	}
}

// changes returns what people changed, newest first.
func (p *program) changes() []event.Change {
	p.Helper()
	var page struct{ Changes []event.Change }
	code, text := p.get("/api/v1/changes")
	if err := json.Unmarshal([]byte(text), &page); err != nil || code != http.StatusOK {
		p.Fatalf("changes: %d %v in %s", code, err, text)
	}
	return page.Changes
}
