package rules

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Classes gives the names of all failure classes, Pipesteward's own and those
// of the rule files, sorted.
func (rs *Rules) Classes() []string {
	return slices.Sorted(slices.Values(slices.Concat(event.FailureClasses, rs.classes.Names())))
}

// className bounds names: they are part of keys in the store, and of metrics.
var className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// Bounds on classes. A log is matched with all of them, once for each event.
const (
	maxClassPattern = 1_000 // bytes of a pattern
	maxClassWork    = 100   // of unitsOf, for all patterns together
)

// readClasses reads the classes of one file, which the rules of all files may
// name: so they are read before any rule is.
func (s *set) readClasses(f *file, root *yaml.Node) {
	if n := valueOf(root, "classes"); n != nil {
		var all []expression.Class
		listOf(&all, 1, s.class).read(f, resolve(n), "classes")
	}
}

func (s *set) class(c *expression.Class) form {
	keys := mapping("a class", fields{
		{"name", "What the class is called in expressions, budgets and metrics.", required(
			matching(&c.Name, className, "the name of a class is 1 to 41 lower-case letters, digits and -, and begins with a letter"), "a class needs a name")},
		{"log", "A regular expression (RE2): a failed job whose log it matches is of this class. (?m) at its start lets ^ and $ match at each line.", required(
			logPattern(&c.Log), "a class needs `log`: a regular expression, like `log: \"No space left on device\"`")},
		{"doc", "What it is about, for people.", text(new(string))},
	})
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			keys.read(f, n, what)
			if c.Name != "" {
				s.addClass(f, valueOf(n, "name"), *c)
			}
		},
		schema: func() schema {
			of := keys.schema()
			name := of["properties"].(schema)["name"].(schema)
			name["not"] = schema{"enum": event.FailureClasses}
			return of
		},
	}
}

// addClass takes a class, whose name stands in n, unless its name is taken.
func (s *set) addClass(f *file, n *yaml.Node, c expression.Class) {
	place := "class " + c.Name
	switch first, taken := s.places[place]; {
	case slices.Contains(event.FailureClasses, c.Name):
		f.failAt(n, "%q is one of Pipesteward's own classes: call this one something else", c.Name)
		return
	case taken:
		f.failAt(n, "another class has the name %q already, in %s", c.Name, first)
		return
	}
	s.places[place] = f.place(n)
	s.classes = append(s.classes, c)
	if c.Log == nil {
		return // that has been told
	}
	if s.classWork += expression.MatchUnits(c.Log.String()); s.classWork > maxClassWork {
		f.failAt(n, "it takes too long to match a log with all classes up to this one: use fewer, or simpler patterns without .*, or {n,m} of large numbers")
		s.classWork = 0 // told once
	}
}

// logPattern reads a regular expression for logs.
func logPattern(to **regexp.Regexp) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			switch {
			case !isText(n) || n.Value == "":
				f.failAt(n, "%s must be a regular expression", what)
				return
			case len(n.Value) > maxClassPattern:
				f.failAt(n, "the regular expression has %d bytes, more than %d", len(n.Value), maxClassPattern)
				return
			}
			pattern, err := regexp.Compile(n.Value)
			if err != nil {
				line, column := f.position(n, placeInPattern(n.Value, err))
				f.fail(line, column, "%v", err)
				return
			}
			if pattern.MatchString("") {
				f.failAt(n, "this matches even an empty log: say what must stand in it")
				return
			}
			*to = pattern
		},
		schema: func() schema { return schema{"type": "string", "minLength": 1, "maxLength": maxClassPattern} },
	}
}

// placeInPattern gives the character of a regular expression where the part
// stands that an error is about.
func placeInPattern(pattern string, err error) int {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return 0
	}
	before, _, found := strings.Cut(pattern, e.Expr)
	if !found {
		return 0
	}
	return len([]rune(before))
}
