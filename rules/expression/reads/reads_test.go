package reads_test

import (
	"testing"

	"github.com/expr-lang/expr/parser"
	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/reads"
)

func TestFields(t *testing.T) {
	for _, c := range []struct {
		source string
		want   []string
	}{
		{`true`, nil},
		{`job.runner.tags`, []string{"job.runner.tags"}},
		{`"gpu" in job.runner.tags and not job["tag"]`, []string{"job.runner.tags", "job.tag"}},
		{`pipeline.variables["A"] == pipeline?.variables.B`, []string{"pipeline.variables.A", "pipeline.variables.B"}},
		{`pipeline.variables[job.name] == "x"`, []string{"job.name", "pipeline.variables[]"}},
		{`any(pipeline.jobs, .environment.name == job.name)`, []string{"job.name", "pipeline.jobs", "pipeline.jobs[].environment.name"}},
		{`any(filter(pipeline.jobs, .stage == "test"), #.manual)`, []string{"pipeline.jobs", "pipeline.jobs[].manual", "pipeline.jobs[].stage"}},
		{`map(filter(pipeline.jobs, .manual), .name)`, []string{"pipeline.jobs", "pipeline.jobs[].manual", "pipeline.jobs[].name"}},
		{`find(pipeline.jobs, .manual).runner.id > len(pipeline.jobs[1:])`, []string{"pipeline.jobs", "pipeline.jobs[].manual", "pipeline.jobs[].runner.id"}},
		{`pipeline.jobs[0].url`, []string{"pipeline.jobs[].url"}},
		{`any(jobs(), .manual) or details().coverage > 80`, nil},
		{`any(jobs(), any(pipeline.jobs, .id == 1) and .manual)`, []string{"pipeline.jobs", "pipeline.jobs[].id"}},
		{`let p = pipeline; p.source == "push"`, []string{"pipeline.source"}},
		{`toJSON(pipeline)`, []string{"pipeline"}},
		{`glob(project.path, "a/**") ? user.name : {"a": [commit.sha]}.a[0]`, []string{"commit.sha", "project.path", "user.name"}},
	} {
		t.Run(c.source, func(t *testing.T) {
			tree, err := parser.Parse(c.source)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, reads.Fields(tree.Node)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Compiled expressions are rewritten: they count their work, and some of their parts are
// merged.
func TestFieldsOfCompiled(t *testing.T) {
	program, findings := expression.Compile(`len(map(filter(pipeline.jobs, .manual), .runner.tags)) > 1 and pipeline.ref + pipeline.source != "x"`,
		expression.Purpose{Want: expression.WantBool, On: "pipeline"})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	want := []string{"pipeline.jobs", "pipeline.jobs[].manual", "pipeline.jobs[].runner.tags", "pipeline.ref", "pipeline.source"}
	if diff := cmp.Diff(want, reads.Fields(program.Node())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHas(t *testing.T) {
	for _, c := range []struct {
		path, field string
		want        bool
	}{
		{"pipeline.source", "pipeline.source", true},
		{"pipeline.variables.A", "pipeline.variables", true},
		{"pipeline.variables[]", "pipeline.variables", true},
		{"pipeline", "pipeline.source", true},
		{"pipeline", "pipeline.jobs[].manual", true},
		{"pipeline.jobs", "pipeline.jobs[].manual", false}, // the list, not its elements' fields
		{"pipeline.name", "pipeline", true},
		{"pipeline.sources", "pipeline.source", false},
		{"job.source", "pipeline.source", false},
	} {
		if got := reads.Has([]string{"project.path", c.path}, c.field); got != c.want {
			t.Errorf("%s reads %s: %t", c.path, c.field, got)
		}
	}
}
