package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

// suggestions are shell commands to try after the story. Each works as it is printed, in
// the directory where the demo runs.
type suggestions struct {
	program         string // runs this program
	dir             string // holds rules.yaml, and may hold more as long as the demo runs
	webhooks, admin string
	gitlab          *gitlabtest.Server
	job             gitlabtest.Job // one whose webhook is an example
}

// suggestion is a command with what it shows.
type suggestion struct{ shows, command string }

// print prints what to try: with keep, while the demo stays up, else after it.
func (s suggestions) print(n *narrator, keep bool) error {
	list := s.afterwards()
	if keep {
		hook := filepath.Join(s.dir, "hook.json")
		if err := os.WriteFile(hook, s.delivered(), 0o600); err != nil {
			return err
		}
		list = s.meanwhile(hook)
		n.say("\nEverything stays up. In a browser, the page of the service; this is a way through it:")
		n.print("\n" + n.paint(text.Bold, "    "+s.admin+"/") + "\n")
		for i, step := range s.clicks() {
			n.print(wrap.Text(fmt.Sprintf("  %d. %s", i+1, step), n.width, 0, 5))
		}
		n.say("\nIn another terminal, in this directory:")
	} else {
		n.say("\nWhat to try next:")
	}
	for _, each := range list {
		n.print("\n  " + wrap.Text(each.shows, n.width, 2, 2) + "\n" + n.paint(text.Bold, "    "+each.command))
	}
	return nil
}

// clicks is a way through the page that shows the story.
func (s suggestions) clicks() []string {
	return []string{
		"Decisions: what was done, newest first. One more appears by itself when you fail a job below.",
		"Its row «retry integration»: which part of the rule's condition was true, and what was sent to GitLab.",
		"Whole story: from the webhook that came to the run that passed.",
		"Rules: which of them matched, and whether their retries passed.",
		"Unknown failures: what unit-tests said, which no failure class covers; Proposal writes one.",
		"Pauses: pause platform/**, fail a job, see it wait under Queue, and resume. Changes says who did it.",
	}
}

// delivered returns the webhook of the job's failure as it was delivered.
func (s suggestions) delivered() []byte {
	for _, d := range s.gitlab.Deliveries() {
		var hook struct {
			Job    int64  `json:"build_id"`
			Status string `json:"build_status"`
		}
		if json.Unmarshal(d.Body, &hook) == nil && hook.Job == s.job.ID && hook.Status == "failed" {
			return d.Body
		}
	}
	return s.gitlab.JobHookBody(s.job.ID)
}

// afterwards are the commands that need no running demo.
func (s suggestions) afterwards() []suggestion {
	list := []suggestion{{"Fail jobs yourself, and look around while the demo stays up:", s.run("demo", "--keep")}}
	if exists("rules.example.yaml") {
		list = append(list, suggestion{"See rules to begin with, and check them:", Shell("cat", "rules.example.yaml") + "\n    " + s.run("check", "rules.example.yaml")})
	}
	if exists("rules.example.test.yaml") {
		list = append(list, suggestion{"Test them, without a GitLab:", s.run("test", "rules.example.test.yaml")})
	}
	return append(list, suggestion{"Run it on your GitLab; this shows all settings:", s.run("serve", "--help")})
}

// meanwhile are the commands for a demo that stays up.
func (s suggestions) meanwhile(hook string) []suggestion {
	rules := filepath.Join(s.dir, "rules.yaml")
	return []suggestion{
		{"What the service is doing:", s.run("status", "--admin-url", s.admin)},
		{fmt.Sprintf("What happened to job %d, and why:", s.job.ID), s.run("why", "--admin-url", s.admin, s.job.WebURL)},
		{"What it has decided:", s.run("decisions", "--admin-url", s.admin)},
		{"The same for programs, and its metrics:", Shell("curl", "-s", s.admin+"/api/v1/decisions?outcome=done") + "\n    " + Shell("curl", "-s", s.admin+"/metrics") + " | " + Shell("grep", "^pipesteward")},
		{fmt.Sprintf("Why a rule matches the webhook of job %d, and the others do not:", s.job.ID), s.run("explain", "--rules", rules, "--event", hook)},
		{"Deliver that webhook once more: it is accepted, and nothing is done twice:", Shell("curl", "-si", s.webhooks, "-H", "X-Gitlab-Token: "+webhookToken, "-d", "@"+hook)},
		{"A page of the simulated GitLab, for a browser too; that of a job that runs says how to end it:", Shell("curl", "-s", s.gitlab.Pipeline(s.job.PipelineID).WebURL)},
		{"Its API:", Shell("curl", "-s", s.gitlab.URL()+"/api/v4/projects/1/jobs", "-H", "PRIVATE-TOKEN: "+gitlabtest.DefaultToken)},
		{"The rules; the service follows what you change in this file:", Shell("cat", rules)},
	}
}

// run returns the command that runs this program with arguments.
func (s suggestions) run(args ...string) string {
	return onLines(append([]string{s.program}, quoted(args)...))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// Shell returns a command as a shell reads it.
func Shell(command ...string) string { return onLines(quoted(command)) }

// quoted returns words as a shell reads them.
func quoted(command []string) []string {
	all := slices.Clone(command)
	for i, word := range all {
		all[i] = words.Shell(word)
	}
	return all
}

// onLines joins the words of a command on lines that fit a terminal, as far as words do;
// an option stays together with its value.
func onLines(words []string) string {
	const columns = wrap.DefaultWidth - len("      ") - len(" \\")
	line, begun := words[0], ""
	for i := 1; i < len(words); i++ {
		next := words[i]
		if strings.HasPrefix(next, "-") && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
			i++
			next += " " + words[i]
		}
		if len(line)+1+len(next) > columns {
			begun += line + " \\\n      "
			line = next
			continue
		}
		line += " " + next
	}
	return begun + line
}
