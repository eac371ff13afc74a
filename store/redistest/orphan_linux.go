package redistest

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the process when this one is gone, also
// where a test panics or runs out of time, and cleans up nothing.
func endWithParent(process *exec.Cmd) {
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
