//go:build !linux

package storetest

// memory returns "": only on Linux are files in memory.
func memory() string { return "" }
