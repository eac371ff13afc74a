package release_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// actionlint knows the workflows' language. Its module is none of this one's: it needs another
// version of a YAML library.
const actionlint = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"

// TestWorkflows: GitHub understands the workflows. A release would be the first to find out.
func TestWorkflows(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yaml"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%q: %v", names, err)
	}
	lint := exec.CommandContext(t.Context(), "go", append([]string{"run", actionlint, "-no-color"}, names...)...)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
	for _, name := range names {
		text := read(t, strings.TrimPrefix(name, root))
		for _, action := range regexp.MustCompile(`uses: (\S+)`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`@[0-9a-f]{40}$`).MatchString(action[1]) {
				t.Errorf("%s uses %s, whose author can change it: name the commit", name, action[1])
			}
		}
	}
}

// TestVersionsOfWorkflows: the workflows use the versions with which everything is checked.
func TestVersionsOfWorkflows(t *testing.T) {
	var tests, release struct {
		Jobs map[string]struct{ Container string }
	}
	texts := map[string]string{}
	for name, workflow := range map[string]any{"test": &tests, "release": &release} {
		texts[name] = read(t, ".github/workflows/"+name+".yaml")
		if err := yaml.Unmarshal([]byte(texts[name]), workflow); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(texts["test"], "run: .ci/run\n") || read(t, ".ci/run") == "" {
		t.Error("a change is not tested by .ci/run")
	}
	golang := "golang:" + found(t, read(t, "go.mod"), `(?m)^go (\d+\.\d+)`)
	for what, version := range map[string][2]string{
		"GoReleaser":      {release.Jobs["release"].Container, "goreleaser/goreleaser:" + found(t, read(t, "Makefile"), `GORELEASER_VERSION := (\S+)`)},
		"Helm":            {found(t, texts["release"], `go install helm\.sh/helm/v4/cmd/helm@(\S+)`), found(t, read(t, "deploy/check/go.mod"), `helm\.sh/helm/v4 (\S+)`)},
		"Go of the tests": {tests.Jobs["test"].Container, golang},
		"Go of the chart": {release.Jobs["chart"].Container, golang},
		"the signer":      {found(t, read(t, "deploy/README.md"), `(?m)--certificate-identity (\S+)@refs/tags/`), "https://" + found(t, read(t, "go.mod"), `(?m)^module (\S+)`) + "/.github/workflows/release.yaml"},
	} {
		if version[0] != version[1] {
			t.Errorf("%s is %s in the workflows and documents, and %s elsewhere", what, version[0], version[1])
		}
	}
}

// found returns what the group of the pattern matches.
func found(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return match[1]
}
