package storetest

import "syscall"

// memory returns a directory in memory with 1 GB of free space, or "".
func memory() string {
	const dir, needed = "/dev/shm", 1 << 30
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil || s.Bavail*uint64(s.Bsize) < needed { //nolint:gosec // no size is negative
		return ""
	}
	return dir
}
