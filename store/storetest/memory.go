package storetest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// InMemory has the tests of a package create their files in memory, if there is
// 1 GB of it and TMPDIR is not set: no test proves that a disk syncs, and on a
// busy disk the tests take many times as long. Benchmarks use the disk.
func InMemory(m *testing.M) interface{ Run() (status int) } { return inMemory{m} }

type inMemory struct{ tests *testing.M }

func (m inMemory) Run() (status int) {
	flag.Parse()
	parent := memory()
	if parent == "" || os.Getenv("TMPDIR") != "" || flag.Lookup("test.bench").Value.String() != "" {
		return m.tests.Run()
	}
	dir, err := os.MkdirTemp(parent, "pipesteward-test.")
	if err != nil { // it is not writable
		return m.tests.Run()
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Setenv("TMPDIR", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.tests.Run()
}
