//go:build linux

package check_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
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

// shownUnits returns the units that a document shows, by their names: each begins with a
// comment that is its path.
func shownUnits(text string) map[string]string {
	units := map[string]string{}
	for _, block := range strings.Split(text, "\n```ini\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		for _, part := range strings.Split("\n"+block, "\n# /etc/systemd/system/")[1:] {
			name, content, _ := strings.Cut(part, "\n")
			units[name] = content + "\n"
		}
	}
	return units
}

// systemd reads the units of the documents without a word, among them the timer of the
// backups and what it starts; the backup is made under a name with the day of the week.
func TestUnitsOfDocumentsInSystemdsEyes(t *testing.T) {
	needs(t, "systemd-analyze", "systemd")
	units := shownUnits(read(t, "../README.md"))
	for _, name := range []string{"pipesteward-backup.service", "pipesteward-backup.timer"} {
		if units[name] == "" {
			t.Errorf("deploy/README.md shows no %s", name)
		}
	}
	dir := t.TempDir()
	verify := []string{"verify"}
	for name, text := range units {
		verify = append(verify, write(t, filepath.Join(dir, name), text))
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", verify...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}

	start, err := unit.DeserializeOptions(strings.NewReader(units["pipesteward-backup.service"]))
	if err != nil {
		t.Fatal(err)
	}
	command := ""
	for _, o := range start {
		if o.Name == "ExecStart" {
			command = strings.ReplaceAll(o.Value, "%%", "%") // as systemd has it
			if strings.Contains(strings.ReplaceAll(o.Value, "%%", ""), "%") {
				t.Errorf("ExecStart is %s: systemd takes a single %% for itself", o.Value)
			}
		}
	}
	script := regexp.MustCompile(`^/bin/sh -c '(.*)'$`).FindStringSubmatch(command)
	if script == nil {
		t.Fatalf("ExecStart is %s, which is no /bin/sh -c '…'", command)
	}
	sh := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.Replace(script[1], "exec pipesteward", "echo", 1))
	sh.Env = append(sh.Environ(), "STATE_DIRECTORY=/var/lib/pipesteward-backup")
	out, err := sh.CombinedOutput()
	if want := regexp.MustCompile(`^backup --force /var/lib/pipesteward-backup/[^ /%]+\.db\n$`); err != nil || !want.Match(out) {
		t.Errorf("the timer runs pipesteward %s (%v), want %s", out, err, want)
	}
}
