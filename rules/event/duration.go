package event

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// The syntax that ParseDuration accepts, as a pattern for JSON Schema and as a
// hint for error messages.
const (
	DurationPattern = `^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$`
	DurationHelp    = "write a number with a unit, like 30s, 10m, 1h30m, 7d or 2w"
)

// ParseDuration parses durations like 30s, 10m, 1h30m, 7d or 2w. Its error
// quotes the text and describes the syntax.
func ParseDuration(s string) (time.Duration, error) {
	d, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: %s", s, DurationHelp)
	}
	return time.Duration(d), nil
}
