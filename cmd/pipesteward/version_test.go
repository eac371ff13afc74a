package main

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// TestBuild: the version says what the Go tool stamped, for each way to build the program.
func TestBuild(t *testing.T) {
	t.Parallel()
	const (
		commit = "a1588da0123456789abcdef0123456789abcdef0"
		pseudo = "v1.2.4-0.20261201012300-a1588da01234"
	)
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: commit}, {Key: "vcs.time", Value: "2026-12-01T01:23:00Z"}, {Key: "vcs.modified", Value: modified}}
	}
	for name, c := range map[string]struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		"go build of a tag":         {"v1.2.3", vcs("false"), "v1.2.3, commit " + commit + " of 2026-12-01T01:23:00Z"},
		"go build with changes":     {pseudo + "+dirty", vcs("true"), pseudo + "+dirty, commit " + commit + " of 2026-12-01T01:23:00Z (modified)"},
		"go build -buildvcs=false":  {"(devel)", nil, "(devel)"},
		"go install of a tag":       {"v1.2.3", nil, "v1.2.3"},
		"go install of a commit":    {pseudo, nil, pseudo + ", commit a1588da01234 of 2026-12-01T01:23:00Z"},
		"a build of another module": {"", nil, "(devel)"},
	} {
		got := buildOf(&debug.BuildInfo{Main: debug.Module{Version: c.version}, Settings: c.settings}).String()
		if want := c.want + ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH; got != want {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
}

// TestVersion: --version prints the build in one line.
func TestVersion(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := called(t, "--version")
	if want := "pipesteward version " + thisBuild().String() + "\n"; code != 0 || stdout != want || stderr != "" || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit status %d, %q, want %q\n%s", code, stdout, want, stderr)
	}
}
