//go:build !unix

package redistest

import (
	"os"
	"testing"
)

// PauseProcess skips the test: only on Unix can a process be paused.
func PauseProcess(t testing.TB, _ *os.Process) {
	t.Helper()
	t.Skip("only on Unix can a process be paused")
}

// ResumeProcess does nothing: no process is paused.
func ResumeProcess(testing.TB, *os.Process) {}
