//go:build linux || darwin || freebsd

package file

import "syscall"

// diskFree returns how many bytes this process may still write to the file system of
// a directory; 0: unknown.
func diskFree(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert,gosec // the types differ between systems, and no size is negative
}
