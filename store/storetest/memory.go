package storetest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// InMemory has a package's tests keep their files in memory, where there is 1 GB
// for them and TMPDIR does not say otherwise: no test proves that a disk syncs,
// and on one that is busy they take many times as long. Benchmarks measure the
// disk.
func InMemory(m *testing.M) interface{ Run() (status int) } { return inMemory{m} }

type inMemory struct{ tests *testing.M }

func (m inMemory) Run() (status int) {
	flag.Parse()
	parent := memory()
	if parent == "" || os.Getenv("TMPDIR") != "" || flag.Lookup("test.bench").Value.String() != "" {
		return m.tests.Run()
	}
	dir, err := os.MkdirTemp(parent, "pipesteward-test.")
	if err != nil { // not for us to write to
		return m.tests.Run()
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Setenv("TMPDIR", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.tests.Run()
}
