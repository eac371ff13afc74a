//go:build unix && !linux

package redistest

import "os/exec"

// endWithParent is for Linux only: elsewhere a server outlives a test that
// panics.
func endWithParent(*exec.Cmd) {}
