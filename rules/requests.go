package rules

import (
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/expression"
)

// Requests reports whether an expression of a rule calls a function that requests
// something from GitLab, like merge_request_details.
func (rs *Rules) Requests(function string) bool {
	return slices.ContainsFunc(rs.rules, func(r *Rule) bool {
		return slices.ContainsFunc(r.programs(), func(p *vm.Program) bool {
			return p != nil && slices.Contains(expression.Requests(p.Node(), nil), function)
		})
	})
}

// programs returns the expressions of a rule, some of which may be nil.
func (r *Rule) programs() []*vm.Program {
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
		for _, t := range n.templates() {
			all = append(all, t.Programs()...)
		}
	}
	return all
}
