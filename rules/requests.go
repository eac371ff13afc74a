package rules

import (
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/reads"
)

// Requests reports whether an expression of a rule calls a function that requests
// something from GitLab, like merge_request_details.
func (rs *Rules) Requests(function string) bool {
	return slices.ContainsFunc(rs.rules, func(r *Rule) bool {
		return slices.ContainsFunc(rs.programs(r), func(p *vm.Program) bool {
			return p != nil && slices.Contains(expression.Requests(p.Node(), nil), function)
		})
	})
}

// Readers returns the names of the rules for a kind of events that read a field, like
// "job.runner.tags", in file order. Texts and the parameters of actions count too.
func (rs *Rules) Readers(kind, field string) []string {
	var names []string
	for _, r := range rs.rules {
		if r.On == kind && slices.ContainsFunc(rs.programs(r), func(p *vm.Program) bool { return p != nil && reads.Has(reads.Fields(p.Node()), field) }) {
			names = append(names, r.Name)
		}
	}
	return names
}

// programs returns the expressions of a rule, and those in the templates of its
// notifications; some may be nil.
func (rs *Rules) programs(r *Rule) []*vm.Program {
	all := []*vm.Program{r.Condition}
	for _, a := range r.Actions {
		all = append(all, a.Jobs)
		for _, t := range a.Variables {
			all = append(all, t.Programs()...)
		}
		for _, in := range a.Inputs {
			all = append(all, in.Programs()...)
		}
	}
	for _, n := range r.Notify {
		if n.State != nil {
			all = append(all, n.State.Condition)
		}
		for _, t := range n.templates() {
			all = append(all, t.Programs()...)
		}
	}
	if len(r.Notify) > 0 {
		for _, t := range rs.templates.All() {
			all = append(all, t.Programs()...)
		}
	}
	return all
}
