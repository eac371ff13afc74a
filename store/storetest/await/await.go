// Package await is for tests that wait for another goroutine or process. Its
// deadline only bounds a hang: no verdict depends on the speed of the machine.
package await

import (
	"strings"
	"testing"
	"time"
)

const (
	// patience is how long a condition may take on a machine under load.
	patience = 10 * time.Minute
	tick     = 20 * time.Millisecond
	// maxLines is how many lines of a log a test prints at most when it fails.
	maxLines = 40
)

// Until waits until the condition is true. If it never is, the test fails and
// prints what it waited for and the last lines of detail.
func Until(t testing.TB, what string, holds func() bool, detail ...func() string) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-late.C:
			var details []string
			for _, d := range detail {
				details = append(details, Tail(d()))
			}
			t.Fatalf("waited %s in vain until %s\n%s", patience, what, strings.Join(details, "\n"))
		}
	}
}

// Long marks a test that takes long, for the given reason: `go test -short` skips
// it.
func Long(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: " + why)
	}
}

// Unraced marks a test that the race detector would make take minutes, for the given
// reason: a build with -race skips it. `make test` also runs it without.
func Unraced(t testing.TB, why string) {
	t.Helper()
	if raced {
		t.Skip("left out by -race: " + why)
	}
}

// Tail returns the last maxLines lines of a log.
func Tail(log string) string {
	lines := strings.SplitAfter(log, "\n")
	if len(lines) <= maxLines {
		return log
	}
	return "…\n" + strings.Join(lines[len(lines)-maxLines:], "")
}
