//go:build !(linux || darwin || freebsd)

package file

// DiskFree returns 0: unknown.
func DiskFree(string) int64 { return 0 }
