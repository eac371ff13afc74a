package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// documentedMetric is a metric as handlers/README.md documents it.
type documentedMetric struct {
	kind   string   // counter, gauge or histogram
	labels []string // sorted
}

// documentedMetrics reads the table of metrics in handlers/README.md.
func documentedMetrics(t *testing.T) map[string]documentedMetric {
	t.Helper()
	all := map[string]documentedMetric{}
	_, table, found := strings.Cut(section(t, "handlers/README.md", "## Metrics"), "| metric | type | is |\n| --- | --- | --- |\n")
	if !found {
		t.Fatal("handlers/README.md has no table of metrics in its section Metrics")
	}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		if len(cells) < 3 {
			break
		}
		for _, match := range quoted.FindAllStringSubmatch(cells[0], -1) {
			name, labels, _ := strings.Cut(strings.TrimSuffix(match[1], "}"), "{")
			m := documentedMetric{kind: cells[1]}
			if labels != "" {
				m.labels = slices.Sorted(strings.SplitSeq(labels, ","))
			}
			all[name] = m
		}
	}
	return all
}

// TestMetrics: after a retry that helped, a rule that failed, a pause and a mute, /metrics
// has each documented metric with its type, its labels and a help, and no others but those
// of Go and of the process.
func TestMetrics(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", testRules+`
  - name: broken
    on: job
    if: int(job.name) > 0
    actions: [retry]
`)
	p := env.run()
	for _, command := range []string{"pause", "mute"} {
		if code, _, stderr := p.output(command, "--project", "elsewhere/**", "--for", "1h"); code != 0 {
			t.Fatalf("%s ends with %d: %s", command, code, stderr)
		}
	}
	job := env.stuckJob()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	again := env.gitlab.Latest(job.PipelineID, job.Name)
	env.gitlab.Finish(again.ID, "success", "")
	p.post(env.gitlab.JobHookBody(again.ID))
	p.workedOff()

	_, text := p.get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedMetrics(t)
	for name, family := range families {
		want, is := documented[name]
		switch {
		case strings.HasPrefix(name, "go_"), strings.HasPrefix(name, "process_"):
			continue
		case !is:
			t.Errorf("/metrics has %s, and handlers/README.md does not", name)
			continue
		}
		if kind := strings.ToLower(family.GetType().String()); kind != want.kind {
			t.Errorf("%s is a %s, and in handlers/README.md a %s", name, kind, want.kind)
		}
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		if labels := labelsOf(family); !slices.Equal(labels, want.labels) {
			t.Errorf("%s has the labels %v, and in handlers/README.md %v", name, labels, want.labels)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if families[name] == nil {
			t.Errorf("handlers/README.md has %s, and /metrics does not", name)
		}
	}
	for _, secret := range []string{testSecret, testSlack, gitlabtest.DefaultToken} {
		if strings.Contains(text, secret) {
			t.Errorf("/metrics has the secret %s", secret)
		}
	}
}

// labelsOf returns the names of the labels of a family's first metric, sorted.
func labelsOf(family *dto.MetricFamily) []string {
	var names []string
	for _, label := range family.GetMetric()[0].GetLabel() {
		names = append(names, label.GetName())
	}
	slices.Sort(names)
	return names
}

// TestRunbookCommands: the commands in deploy/ALERTS.md, with their flags, are those of the
// program.
func TestRunbookCommands(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../deploy/ALERTS.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("`(pipesteward [^`]+)`").FindAllStringSubmatch(string(page), -1)
	if len(commands) < 20 {
		t.Errorf("only %d commands were found", len(commands))
	}
	for _, c := range commands {
		args, flags := []string{}, []string{}
		for _, word := range strings.Fields(c[1]) {
			switch {
			case strings.HasPrefix(word, "--"):
				flags = append(flags, word)
			case len(flags) == 0 && word == strings.ToLower(word) && !strings.Contains(word, "."): // no argument
				args = append(args, word)
			}
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(args, "--help"), &out, &errs); code != 0 || !strings.Contains(out.String(), strings.Join(args, " ")) {
			t.Errorf("%s: exit status %d, %s%s", c[1], code, errs.String(), out.String())
		}
		for _, flag := range flags {
			if !strings.Contains(out.String(), flag) {
				t.Errorf("%s: there is no %s", c[1], flag)
			}
		}
	}
}

// TestMetricsStayFew: whatever names hooks bring, of projects, jobs, refs and failure reasons,
// of events and headers, /metrics has the series that the first of them made.
func TestMetricsStayFew(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", testRules+`
  - {name: broken, on: job, if: 'int(job.name) > 0', actions: [retry]}
`)
	p := env.run()
	hostile := func(n int) {
		name := fmt.Sprintf("hostile-%d-%s", n, strings.Repeat("x", n))
		project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop-" + name})
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "ref-" + name}, gitlabtest.Job{Name: "job-" + name})
		job := env.gitlab.Latest(pipeline.ID, "job-"+name)
		env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
		body := env.gitlab.JobHookBody(job.ID)
		p.post(body)
		p.post(bytes.ReplaceAll(body, []byte("stuck_or_timeout_failure"), []byte("reason_"+name)))
		p.post(bytes.ReplaceAll(body, []byte(`"object_kind":"build"`), []byte(`"object_kind":"kind_`+name+`"`)))
		p.post(bytes.ReplaceAll(body, []byte(`"failed"`), []byte(`"status_`+name+`"`)))
		p.post([]byte(name))
	}
	series := func() map[string]bool {
		p.workedOff()
		_, text := p.get("/metrics")
		found := map[string]bool{}
		for line := range strings.Lines(text) {
			if name, _, is := strings.Cut(line, " "); is && strings.HasPrefix(line, "pipesteward_") {
				if i := strings.LastIndex(line, "} "); i >= 0 {
					name = line[:i+1]
				}
				found[name] = true
			}
		}
		return found
	}
	hostile(1)
	few := series()
	for n := range 50 {
		hostile(n + 2)
	}
	for name := range series() {
		// What is checked in the background reads GitLab when its time has come.
		if strings.Contains(name, "hostile") || !few[name] && !strings.HasPrefix(name, "pipesteward_gitlab_requests_total{") {
			t.Errorf("the hooks have made the series %.200s", name)
		}
	}
	if len(few) < 20 {
		t.Errorf("only %d series were found", len(few))
	}
}
