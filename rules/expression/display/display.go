// Package display formats the values of expressions for people.
package display

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Text formats a value for people: times as RFC 3339, fractions without trailing
// zeros, lists and mappings as JSON.
func Text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	case time.Duration:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool, int, int64:
		return fmt.Sprint(v)
	}
	if b, err := json.Marshal(value); err == nil {
		return string(b)
	}
	return fmt.Sprint(value)
}

// Limits on the part of a value that is shown.
const (
	shownText  = 120 // characters
	shownItems = 5
)

// Short formats a value for people, shortened. Of a text that is hidden, because it may
// contain secrets, it shows only the length.
func Short(value any, hidden bool) string {
	switch v := value.(type) {
	case bool, int, int64, float64:
		return Text(v)
	case string:
		if hidden {
			return fmt.Sprintf("a text of length %d", len([]rune(v)))
		}
		return strconv.Quote(Shorten(v))
	case nil:
		return "nothing"
	case time.Time:
		if v.IsZero() {
			return "no time"
		}
	case time.Duration:
		return model.Duration(v.Truncate(time.Second)).String()
	case event.Job:
		return fmt.Sprintf("%s (%s)", v.Name, v.Status)
	case event.Details:
		return fmt.Sprintf("%s (%s)", v.Name, v.Status)
	case event.Bridge:
		return fmt.Sprintf("%s (%s)", v.Name, v.Status)
	case event.OnDefault:
		if v.Status == "" {
			return "no such job"
		}
		return v.Status
	case event.FailedTest:
		if hidden {
			break
		}
		return fmt.Sprintf("%s (%d)", Shorten(v.Name), v.RecentFailures)
	case event.MergeRequestDetails:
		return fmt.Sprintf("!%d %q (%s)", v.IID, Shorten(v.Title), v.State)
	case []event.Job:
		return list(v, hidden)
	case []event.FailedTest:
		return list(v, hidden)
	case []event.Bridge:
		return list(v, hidden)
	case []string:
		return list(v, hidden)
	case []any:
		return list(v, hidden)
	}
	if hidden {
		return "hidden"
	}
	return Shorten(Text(value))
}

func list[T any](values []T, hidden bool) string {
	if len(values) == 0 {
		return "none"
	}
	items := make([]string, 0, shownItems+1)
	for i, item := range values {
		if i == shownItems {
			items = append(items, fmt.Sprintf("and %d more", len(values)-shownItems))
			break
		}
		items = append(items, Short(item, hidden))
	}
	return strings.Join(items, ", ")
}

// Shorten returns the beginning of a long text.
func Shorten(text string) string {
	if runes := []rune(text); len(runes) > shownText {
		return string(runes[:shownText]) + "…"
	}
	return text
}
