// Package await is for tests that wait for what another goroutine or process
// does. Its deadline only bounds a hang: no verdict depends on how fast the
// machine is.
package await

import (
	"strings"
	"testing"
	"time"
)

const (
	// patience is how long a condition may take on a machine under load.
	patience = 5 * time.Minute
	tick     = 20 * time.Millisecond
	// maxLines bounds how much of a log a test prints that waited in vain.
	maxLines = 40
)

// Until waits until the condition holds. If it never does, the test fails and
// says what it waited for, with the end of what detail gives.
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
			var said []string
			for _, d := range detail {
				said = append(said, Tail(d()))
			}
			t.Fatalf("waited for %s until %s, in vain\n%s", patience, what, strings.Join(said, "\n"))
		}
	}
}

// Long is called by a test that takes long, and says why: `go test -short`
// skips it.
func Long(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: " + why)
	}
}

// Tail returns the last lines of a log, as many as a test may print.
func Tail(log string) string {
	lines := strings.SplitAfter(log, "\n")
	if len(lines) <= maxLines {
		return log
	}
	return "…\n" + strings.Join(lines[len(lines)-maxLines:], "")
}
