package rules

import (
	"encoding/json"
	"reflect"
	"slices"
)

// input is a job's input in a rule file. GitLab checks the types of inputs, so
// numbers, booleans and lists stay what they are, also where one expression
// alone gives them.
type input struct {
	fixed json.RawMessage // a number or a boolean
	items []input         // of a list; nil: it is none
	text  template        // else
}

// value gives the input as JSON.
func (in input) value(m *machine, env any) (json.RawMessage, error) {
	switch {
	case in.fixed != nil:
		return in.fixed, nil
	case in.items != nil:
		list := make([]json.RawMessage, len(in.items))
		for i, item := range in.items {
			var err error
			if list[i], err = item.value(m, env); err != nil {
				return nil, err
			}
		}
		return json.Marshal(list)
	case len(in.text.parts) == 1 && in.text.parts[0].program != nil:
		value, err := m.run(in.text.parts[0].program, env)
		if err != nil {
			return nil, err
		}
		if m.size(value) > m.work {
			return nil, errTooMuch
		}
		if isInput(reflect.ValueOf(value)) {
			return json.Marshal(value)
		}
		return json.Marshal(textOf(value))
	}
	text, err := in.text.render(m, env, func(s string) string { return s })
	if err != nil {
		return nil, err
	}
	return json.Marshal(text)
}

// isInput reports whether GitLab has inputs of the value's type: numbers,
// booleans, texts, and lists of those. Durations are texts.
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

func (in input) readsAttempt() bool {
	return in.text.readsAttempt() || slices.ContainsFunc(in.items, input.readsAttempt)
}
