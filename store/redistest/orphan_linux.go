package redistest

import (
	"os/exec"
	"syscall"
)

// EndWithParent has the kernel kill the process when this one is gone, also
// where a test panics or runs out of time, and cleans up nothing. It is called
// before the process starts.
func EndWithParent(process *exec.Cmd) {
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
