//go:build !linux

package storetest

// memory is for Linux only: elsewhere files are on the disk.
func memory() string { return "" }
