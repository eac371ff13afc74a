package rulefile

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// className matches the names of classes. It limits their length because they
// are part of store keys and metrics.
var className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// Limits on the classes that rule files define. A log is matched with all of them, once
// per event.
const (
	maxClassPattern = 1_000 // bytes of a pattern
	maxClassWork    = 100   // limits.MatchUnits of all patterns together
)

// readClasses reads the classes of one file. The classes of all files are read
// before any rule, because the rules of every file may refer to them.
func (s *set) readClasses(f *schema.Document, root *yaml.Node) {
	if n := schema.Value(root, "classes"); n != nil {
		s.classesSchema().Read(f, schema.Resolve(n), "classes")
	}
}

// classesSchema reads the classes of one file: a mapping, or a list of those that it
// defines.
func (s *set) classesSchema() schema.Schema {
	define := schema.List(new([]failureclass.Class), 1, s.class)
	keys := schema.Mapping("classes", schema.Fields{
		schema.Key("include", "Packs of classes that ship with Pipesteward: common. Their classes come behind those of all rule files, and one with the name of a class of a rule file is left out.",
			schema.Distinct(schema.List(new([]string), 1, s.pack))),
		schema.Key("define", "Classes of your own.", define),
		schema.Key("every_failure", "Whether the log of each failed job is read, for one request to GitLab each, so that `pipesteward unknown` counts all: true or false. Without it, only logs that a rule reads are. It is for all files, so only one file can have it.",
			s.unique(schema.Bool(&s.everyFailure))),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			switch {
			case n.Kind == yaml.SequenceNode:
				define.Read(f, n, what)
			case n.Kind == yaml.MappingNode && len(n.Content) == 0:
				f.FailAt(n, "classes is empty: omit it, or give it `include` or `define`")
			default:
				keys.Read(f, n, what)
			}
		},
		JSON: func() schema.JSON {
			of := keys.JSON()
			of["minProperties"] = 1
			return schema.JSON{"if": schema.JSON{"type": "array"}, "then": define.JSON(), "else": of}
		},
	}
}

// pack reads the name of a pack of classes.
func (s *set) pack(name *string) schema.Schema {
	of := schema.OneOf(name, failureclass.Packs())
	read := of.Read
	of.Read = func(f *schema.Document, n *yaml.Node, what string) {
		read(f, n, what)
		if *name == "" {
			return
		}
		classes, err := failureclass.Pack(*name)
		if err != nil {
			f.FailAt(n, "%v", err)
		}
		for _, c := range classes {
			s.included = append(s.included, c.Class)
		}
	}
	return of
}

// addIncluded adds the classes of packs whose names are not taken.
func (s *set) addIncluded() {
	for _, c := range s.included {
		if !slices.Contains(s.classes.Names(), c.Name) {
			s.classes = append(s.classes, c)
		}
	}
}

func (s *set) class(c *failureclass.Class) schema.Schema {
	retry := true
	keys := schema.Mapping("a class", schema.Fields{
		schema.Key("name", "What the class is called in expressions, budgets and metrics.", schema.Required(
			schema.Matching(&c.Name, className, "the name of a class is 1 to 41 lower-case letters, digits and -, and begins with a letter"), "a class needs a name")),
		schema.Key("log", "A regular expression (RE2): a failed job whose log it matches is of this class. (?m) at its start lets ^ and $ match at each line.", schema.Required(
			logPattern(&c.Log), "a class needs `log`: a regular expression, like `log: \"No space left on device\"`")),
		schema.Key("doc", "What it is about, for people.", schema.Text(&c.Doc)),
		schema.Key("retry", "Whether a retry may help. With false, `check` warns of rules that retry such jobs.", schema.Bool(&retry)),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			c.Hopeless = !retry
			if c.Name != "" {
				s.addClass(f, schema.Value(n, "name"), *c)
			}
		},
		JSON: func() schema.JSON {
			of := keys.JSON()
			name := of["properties"].(schema.JSON)["name"].(schema.JSON)
			name["not"] = schema.JSON{"enum": event.FailureClasses}
			return of
		},
	}
}

// addClass adds a class unless its name is taken. n is the node of its name.
func (s *set) addClass(f *schema.Document, n *yaml.Node, c failureclass.Class) {
	place := "class " + c.Name
	switch first, taken := s.places[place]; {
	case slices.Contains(event.FailureClasses, c.Name):
		f.FailAt(n, "%q is one of Pipesteward's own classes: call this one something else", c.Name)
		return
	case taken:
		f.FailAt(n, "another class has the name %q already, in %s", c.Name, first)
		return
	}
	s.places[place] = f.Place(n)
	s.classes = append(s.classes, c)
	for _, pattern := range c.Log {
		if s.classWork += limits.MatchUnits(pattern.String()); s.classWork > maxClassWork {
			f.FailAt(n, "it takes too long to match a log with all classes up to this one: use fewer, or simpler patterns without .*, or {n,m} of large numbers")
			s.classWork = 0 // record it once
		}
	}
}

// logPattern reads a regular expression for logs.
func logPattern(to *[]*regexp.Regexp) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			switch {
			case !schema.IsText(n) || n.Value == "":
				f.FailAt(n, "%s must be a regular expression", what)
				return
			case len(n.Value) > 2 && strings.HasPrefix(n.Value, "/") && strings.HasSuffix(n.Value, "/"):
				f.FailAt(n, "a regular expression stands without slashes around it: write %q, or [/] for a slash that is meant", strings.Trim(n.Value, "/"))
				return
			case len(n.Value) > maxClassPattern:
				f.FailAt(n, "the regular expression has %d bytes, more than %d", len(n.Value), maxClassPattern)
				return
			}
			pattern, err := regexp.Compile(n.Value)
			if err != nil {
				line, column := f.Position(n, placeInPattern(n.Value, err))
				f.Fail(line, column, "%v", err)
				return
			}
			if pattern.MatchString("") {
				f.FailAt(n, "this matches even an empty log: write a pattern that requires some text")
				return
			}
			*to = []*regexp.Regexp{pattern}
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "minLength": 1, "maxLength": maxClassPattern} },
	}
}

// placeInPattern returns the position, in characters, of the part of a regular
// expression that an error is about.
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
