//go:build unix

package redistest

import (
	"os"
	"syscall"
	"testing"
)

// PauseProcess stops a process until ResumeProcess; its connections stay open.
func PauseProcess(t testing.TB, process *os.Process) {
	t.Helper()
	signal(t, process, syscall.SIGSTOP)
}

// ResumeProcess ends a PauseProcess.
func ResumeProcess(t testing.TB, process *os.Process) {
	t.Helper()
	signal(t, process, syscall.SIGCONT)
}

func signal(t testing.TB, process *os.Process, sig os.Signal) {
	t.Helper()
	if err := process.Signal(sig); err != nil {
		t.Fatalf("%v to process %d: %v", sig, process.Pid, err)
	}
}
