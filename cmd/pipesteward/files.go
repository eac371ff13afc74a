package main

import (
	"fmt"
	"io"
	"os"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// standardStream, in the place of the name of a file, is standard input where a command reads
// the file, and standard output where it writes it.
const standardStream = "-"

// readFile reads a file, or standard input.
func readFile(name string) ([]byte, error) {
	if name == standardStream {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// readSources reads a rule file, or those of a directory, or a rule file in standard input.
func readSources(path string) ([]rulefile.Source, error) {
	if path != standardStream {
		return app.ReadRules(path)
	}
	data, err := readFile(path)
	return []rulefile.Source{{Name: path, Data: data}}, err
}

// writeFile writes a file that people share, a new one or in place of an old one, or to
// standard output.
func writeFile(stdout io.Writer, name string, body []byte) error {
	if name == standardStream {
		_, err := stdout.Write(body)
		return err
	}
	return os.WriteFile(name, body, 0o644) //nolint:gosec // people share it
}

// readOnce returns an error if several of the names are standard input, which can be read once.
// what are these names, as flags or arguments.
func readOnce(what string, names ...string) error {
	n := 0
	for _, name := range names {
		if name == standardStream {
			n++
		}
	}
	if n > 1 {
		return &usageError{fmt.Errorf("%s: only one can be %q, standard input: give a file for the others", what, standardStream)}
	}
	return nil
}
