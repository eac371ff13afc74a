package expression

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/expression/display"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Input is a job input in a rule file. GitLab checks the types of inputs, so
// numbers, booleans and lists keep their type, also if they are the result of
// a single expression.
type Input struct {
	Fixed json.RawMessage // a number or a boolean
	Items []Input         // the items of a list; nil if the input is no list
	Text  Template        // otherwise
}

// Programs returns the compiled expressions of an input.
func (in Input) Programs() []*vm.Program {
	all := in.Text.Programs()
	for _, item := range in.Items {
		all = append(all, item.Programs()...)
	}
	return all
}

// value returns the input as JSON.
func (in Input) value(m *limits.Machine, env any) (json.RawMessage, error) {
	switch {
	case in.Fixed != nil:
		return in.Fixed, nil
	case in.Items != nil:
		list := make([]json.RawMessage, len(in.Items))
		for i, item := range in.Items {
			var err error
			if list[i], err = item.value(m, env); err != nil {
				return nil, err
			}
		}
		return json.Marshal(list)
	case len(in.Text.parts) == 1 && in.Text.parts[0].program != nil:
		value, err := run(m, in.Text.parts[0].program, env)
		if err != nil {
			return nil, err
		}
		if !m.Fits(value) {
			return nil, limits.ErrTooMuch
		}
		if isInput(reflect.ValueOf(value)) {
			return json.Marshal(value)
		}
		return json.Marshal(display.Text(value))
	}
	text, err := in.Text.render(m, env, func(s string) string { return s })
	if err != nil {
		return nil, err
	}
	return json.Marshal(text)
}

// isInput reports whether a value has a type of GitLab's inputs: number,
// boolean, text, or list of those. A duration is no number; it is formatted as
// a text.
func isInput(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Float64, reflect.String:
		return true
	case reflect.Int64:
		return v.Type() == reflect.TypeFor[int64]()
	case reflect.Interface:
		return isInput(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if item := v.Index(i); !isInput(item) || item.Kind() == reflect.Slice {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// ReadsAttempt reports whether an expression in the input reads job.attempt.
func (in Input) ReadsAttempt() bool {
	return in.Text.ReadsAttempt() || slices.ContainsFunc(in.Items, Input.ReadsAttempt)
}
