package redistest

import (
	"os/exec"
	"syscall"
)

// EndWithParent has the kernel kill the process when this one ends, also if a test
// panics or times out and cleans up nothing. Call it before the process starts.
func EndWithParent(process *exec.Cmd) {
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
