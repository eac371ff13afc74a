//go:build linux

package check_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/google/go-cmp/cmp"
)

// options gives the values of the unit's options, by name.
func options(t *testing.T) map[string][]string {
	t.Helper()
	list, err := unit.DeserializeOptions(strings.NewReader(read(t, "../pipesteward.service")))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	for _, o := range list {
		values[o.Name] = append(values[o.Name], o.Value)
	}
	return values
}

// variables gives the names that lines of NAME=value set.
func variables(lines ...string) []string {
	var names []string
	for _, line := range lines {
		if name, _, set := strings.Cut(line, "="); set && !strings.HasPrefix(line, "#") {
			names = append(names, name)
		}
	}
	return names
}

func TestUnitStartsTheProgram(t *testing.T) {
	o := options(t)
	if diff := cmp.Diff([]string{"/usr/local/bin/pipesteward serve"}, o["ExecStart"]); diff != "" {
		t.Errorf("ExecStart (-want +got):\n%s", diff)
	}
	example := strings.Split(read(t, "../pipesteward.env.example"), "\n")
	checkSettings(t, "pipesteward.service with pipesteward.env.example", append(variables(o["Environment"]...), variables(example...)...))
	for _, line := range o["Environment"] {
		name, path, _ := strings.Cut(line, "=")
		if !strings.HasSuffix(name, "_FILE") {
			continue
		}
		id, inside := strings.CutPrefix(path, "%d/")
		loaded := false
		for _, credential := range o["LoadCredential"] {
			loaded = loaded || credential == id+":/etc/pipesteward/secrets/"+id
		}
		if !inside || !loaded {
			t.Errorf("%s is %s, which is no credential of the unit", name, path)
		}
	}
	if stop, err := time.ParseDuration(o["TimeoutStopSec"][0]); err != nil || stop <= 10*time.Second {
		t.Errorf("TimeoutStopSec is %v (%v), which is not more than the 10 s that serve may take", stop, err)
	}
}

// systemd reads the unit without a word, and finds little to say about what a
// program in it could do: to read the host's files, and to talk TCP and UDP.
func TestUnitInSystemdsEyes(t *testing.T) {
	needs(t, "systemd-analyze", "systemd")
	text := strings.ReplaceAll(read(t, "../pipesteward.service"), "/usr/local/bin/pipesteward", program(t))
	path := write(t, filepath.Join(t.TempDir(), "pipesteward.service"), text)
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	const exposure = "15" // tenths, of 10 for no protection at all
	out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold="+exposure, path).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
