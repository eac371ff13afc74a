package lint

import (
	"cmp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/reads"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

var absentField = Check{
	ID: "absent-field",
	Doc: `The rule reads a field that no event of its kind has. Such a field is always empty, 0 or
false, so the condition never has the meaning that it seems to have.

    on: job
    if: pipeline.source == "merge_request_event"

GitLab sends the source of a pipeline, its variables, its stages and its merge request in
events of pipelines only. Write the rule ` + "`on: pipeline`" + `, or call a function that requests
the value of GitLab: ` + "`merge_request_details()`" + `, ` + "`jobs()`" + `.`,
	rule: func(p *pass) {
		if p.rule.On == event.KindPipeline { // to read the job is an error where there is none
			return
		}
		for _, e := range p.rule.Expressions {
			for _, field := range event.Absent[p.rule.On] {
				absentFieldIn(p, e, field)
			}
		}
	},
}

// absentFieldIn warns about the first place at which an expression reads a field that no
// event has.
func absentFieldIn(p *pass, e rulefile.Expression, field string) {
	var read ast.Node
	path := ""
	ast.Find(p.tree(e.Source), func(n ast.Node) bool { // from the inside
		if read != nil {
			return true
		}
		all := reads.Fields(n)
		if i := slices.IndexFunc(all, func(path string) bool { return path == field || strings.HasPrefix(path, field+".") }); i >= 0 {
			read, path = n, all[i]
		}
		return read != nil
	})
	if read == nil {
		return
	}
	source := map[string]string{event.KindJob: "GitLab's job events do not have it", event.KindSchedule: "GitLab's API does not tell it of jobs"}[p.rule.On]
	instead := map[string]string{
		"merge_request": "call merge_request_details()",
		"job.bridge":    "schedules visit no trigger jobs",
	}[field]
	if p.rule.On == event.KindJob {
		instead = cmp.Or(instead, "write the rule `on: pipeline`, whose events have it")
	}
	if instead != "" {
		instead = ": " + instead
	}
	p.warnIn(e, read, "%s is always empty here, since %s%s", path, source, instead)
}
