// Package monitoring_test checks the alerts and the dashboard against the metrics that
// handlers/README.md documents. It needs promtool.
package monitoring_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const (
	root   = "../../.."
	deploy = "../.."
)

// documentedMetrics returns the labels of each metric that handlers/README.md documents; a test of
// the program compares the same table with /metrics.
func documentedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	_, table, found := strings.Cut(read(t, root+"/handlers/README.md"), "| metric | type | is |\n| --- | --- | --- |\n")
	if !found {
		t.Fatal("handlers/README.md has no table of metrics")
	}
	all := map[string][]string{"process_resident_memory_bytes": nil, "process_cpu_seconds_total": nil} // of client_golang
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		if len(cells) < 3 {
			break
		}
		for _, match := range regexp.MustCompile("`([a-z_]+)(?:{([a-z,]+)})?`").FindAllStringSubmatch(cells[0], -1) {
			labels := strings.FieldsFunc(match[2], func(r rune) bool { return r == ',' })
			if cells[1] == "histogram" {
				all[match[1]+"_bucket"] = append(labels, "le")
				continue
			}
			all[match[1]] = labels
		}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkExpression returns what is wrong with an expression: metrics and labels that are not
// documented. It adds the metrics to used.
func checkExpression(expression string, documented map[string][]string, used map[string]bool) (problems []string) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return []string{err.Error()}
	}
	labels := map[string]bool{"instance": true, "job": true} // Prometheus adds them
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		own, there := documented[selector.Name]
		if !there {
			problems = append(problems, "there is no metric "+selector.Name)
		}
		used[selector.Name] = true
		for _, label := range own {
			labels[label] = true
		}
		for _, m := range selector.LabelMatchers {
			if m.Name != "__name__" && m.Name != "instance" && !slices.Contains(own, m.Name) {
				problems = append(problems, selector.Name+" has no label "+m.Name)
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if sum, is := node.(*parser.AggregateExpr); is {
			for _, label := range sum.Grouping {
				if !labels[label] {
					problems = append(problems, "no metric in it has the label "+label)
				}
			}
		}
		return nil
	})
	return problems
}

func TestCheckExpression(t *testing.T) {
	documented := map[string][]string{"a_total": {"rule"}}
	for expression, want := range map[string]string{
		`sum by (rule) (rate(a_total{rule="x",instance="i"}[5m]))`: "",
		`rate(b_total[5m])`:        "there is no metric b_total",
		`a_total{class="x"}`:       "a_total has no label class",
		`sum by (class) (a_total)`: "no metric in it has the label class",
	} {
		if got := strings.Join(checkExpression(expression, documented, map[string]bool{}), "; "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

// TestAlerts: promtool takes the alerts and their tests; each has both tests, uses documented
// metrics only, and has a page.
func TestAlerts(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("the alerts need promtool: install Prometheus (Debian: apt-get install prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts.test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = deploy + "/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, deploy+"/prometheus/alerts.yaml")), &alerts); err != nil {
		t.Fatal(err)
	}
	documented, tests, page := documentedMetrics(t), read(t, deploy+"/prometheus/alerts.test.yaml"), read(t, deploy+"/ALERTS.md")
	headings := regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(page, -1)
	pages := map[string]bool{}
	for _, h := range headings {
		pages[h[1]] = true
	}
	for _, rule := range alerts.Groups[0].Rules {
		for _, problem := range checkExpression(rule.Expr, documented, map[string]bool{}) {
			t.Errorf("%s: %s", rule.Alert, problem)
		}
		for _, what := range []string{" fires\n", " does not fire\n"} {
			if !strings.Contains(tests, "name: "+rule.Alert+what) {
				t.Errorf("alerts.test.yaml lacks the test that %s%s", rule.Alert, what)
			}
		}
		if !pages[rule.Alert] {
			t.Errorf("ALERTS.md has no heading %s", rule.Alert)
		}
		delete(pages, rule.Alert)
		if want := "deploy/ALERTS.md#" + strings.ToLower(rule.Alert); !strings.HasSuffix(rule.Annotations["runbook_url"], want) {
			t.Errorf("the runbook_url of %s is %s, want one that ends in %s", rule.Alert, rule.Annotations["runbook_url"], want)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
			t.Errorf("%s has the severity %q", rule.Alert, rule.Labels["severity"])
		}
	}
	for name := range pages {
		t.Errorf("ALERTS.md has the heading %s, and alerts.yaml no such alert", name)
	}
	// Each says what to do, in the words of the program.
	for section := range strings.SplitSeq(page, "\n## ") {
		if name, text, _ := strings.Cut(section, "\n"); strings.HasPrefix(name, "Pipesteward") && (!strings.Contains(text, "**People see**") || !strings.Contains(text, "**Do**")) {
			t.Errorf("%s in ALERTS.md lacks what people see, or what to do", name)
		}
	}
}

// TestDashboard: each query of the dashboard reads documented metrics by their labels, and
// each metric but the least is on it.
func TestDashboard(t *testing.T) {
	var board any
	if err := json.Unmarshal([]byte(read(t, deploy+"/grafana/pipesteward.json")), &board); err != nil {
		t.Fatal(err)
	}
	documented, used, queries := documentedMetrics(t), map[string]bool{}, 0
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if title, is := v["title"].(string); is {
				at = title
			}
			for key, value := range v {
				if expression, is := value.(string); is && key == "expr" {
					queries++
					for _, problem := range checkExpression(variables.Replace(expression), documented, used) {
						t.Errorf("%s: %s", at, problem)
					}
					continue
				}
				walk(at, value)
			}
		case []any:
			for _, item := range v {
				walk(at, item)
			}
		}
	}
	walk("", board)
	if queries < 20 {
		t.Errorf("only %d queries were found", queries)
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if !used[name] && name != "pipesteward_ledger_unreadable_total" { // an alert has it
			t.Errorf("the dashboard lacks %s", name)
		}
	}
	if text := fmt.Sprint(board); !strings.Contains(text, "${datasource}") || strings.Contains(text, "__inputs") {
		t.Error("the dashboard does not take its data source from its variable")
	}
}
