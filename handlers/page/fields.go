package page

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/handlers"
)

// field is a parameter of a view's address, or a field of a form.
type field struct {
	Name  string
	Label string // that people see beside it; "": none
	API   string // the parameter of the API that it becomes; "": that of the same name
}

// The fields that several forms have.
var (
	project = field{Name: "project", Label: "Project"}
	rule    = field{Name: "rule", Label: "Rule"}
	since   = field{Name: "since", Label: "Since"}
	by      = field{Name: "by", Label: "Your name"}
	reason  = field{Name: "reason", Label: "Reason"}
	cursor  = field{Name: "cursor"}
)

// named returns fields without labels.
func named(names ...string) (all []field) {
	for _, name := range names {
		all = append(all, field{Name: name})
	}
	return all
}

// namesOf returns the names of fields.
func namesOf(fields []field) (names []string) {
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// checkFields returns a refusal if values have another name than those of the fields, or one
// twice: what is not understood would select too much. what names what has the values.
func checkFields(what string, values url.Values, fields []field) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.Name == name })
		switch {
		case i < 0 && len(fields) == 0:
			return refused("%s has %q, and this view takes nothing: leave it out", what, name)
		case i < 0:
			return refused("%s has %q, which this view does not know: it takes %s", what, name, strings.Join(namesOf(fields), ", "))
		case len(values[name]) > 1:
			return refused("%s has %s %d times: give it once", what, fields[i].shown(), len(values[name]))
		}
	}
	return nil
}

// shown returns what people know the field by.
func (f field) shown() string {
	if f.Label != "" {
		return "“" + f.Label + "”"
	}
	return fmt.Sprintf("%q", f.Name)
}

func refused(format string, args ...any) error {
	return &handlers.RefusedError{Code: http.StatusBadRequest, Text: fmt.Sprintf(format, args...)}
}

// parameter matches a parameter that a text of the API is about.
var parameter = regexp.MustCompile(`(?m)parameter "([a-z_]+)"|^"([a-z_]+)"`)

// inLabels returns a text of the API with the labels of a form in place of the names that the
// API has for its fields.
func inLabels(text string, fields []field) string {
	return parameter.ReplaceAllStringFunc(text, func(found string) string {
		name := found[strings.Index(found, `"`)+1 : len(found)-1]
		i := slices.IndexFunc(fields, func(f field) bool { return f.Label != "" && (f.API == name || f.API == "" && f.Name == name) })
		if i < 0 {
			return found
		}
		return fields[i].shown()
	})
}
