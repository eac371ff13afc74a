package expression

import (
	"errors"
	"strings"

	exprfile "github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/expression/display"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// run evaluates a program. The error of a request to GitLab is returned
// unchanged.
func run(m *limits.Machine, program *vm.Program, env any) (any, error) {
	value, err := m.Run(program, env)
	if err != nil {
		return nil, cause(err, program)
	}
	return value, nil
}

// runText evaluates a program and formats its value for people.
func runText(m *limits.Machine, program *vm.Program, env any) (string, error) {
	value, err := run(m, program, env)
	if err != nil {
		return "", err
	}
	if !m.Fits(value) {
		return "", limits.ErrTooMuch
	}
	return display.Text(value), nil
}

// cause removes expr's wrapping from an error. If the expression may read
// secrets, the error contains no values.
func cause(err error, program *vm.Program) error {
	var request limits.RequestError
	if errors.As(err, &request) {
		return request.Err
	}
	if errors.Is(err, limits.ErrTooMuch) {
		return limits.ErrTooMuch
	}
	message := err.Error()
	if e := (*exprfile.Error)(nil); errors.As(err, &e) {
		message = e.Message
	}
	switch {
	case message == "memory budget exceeded":
		return limits.ErrTooMuch
	case strings.HasPrefix(message, "index out of range"):
	case secretive(program.Node()):
		return errors.New("the expression failed. It reads a log or variables, so what expr says of their values is not shown; int(), float() and date() fail on texts that are none")
	}
	return errors.New(display.Shorten(plainTypes(message)))
}
