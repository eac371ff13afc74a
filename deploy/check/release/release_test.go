package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../../.."

// documents is where .goreleaser.yaml has documents.sh put what it makes.
const documents = "dist-documents/"

// content is a file of a package.
type content struct{ Src, Dst, Type, Packager string }

// config is what this test reads of .goreleaser.yaml.
type config struct {
	Builds []struct {
		Goos, Goarch, Ldflags []string
	}
	Nfpms []struct {
		Contents []content
		Scripts  map[string]string
	}
}

func load(t *testing.T) (c config) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, ".goreleaser.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTargets(t *testing.T) {
	b := load(t).Builds[0]
	if want := []string{"linux", "darwin", "windows"}; !slices.Equal(b.Goos, want) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) {
		t.Errorf("%q on %q", b.Goos, b.Goarch)
	}
	version := read(t, "cmd/pipesteward/version.go")
	for _, name := range regexp.MustCompile(`-X main\.([a-z]+)=`).FindAllStringSubmatch(b.Ldflags[0], -1) {
		if !regexp.MustCompile(`(?m)^var .*\b` + name[1] + `\b.* string$`).MatchString(version) {
			t.Errorf("-X main.%s sets no variable of the program", name[1])
		}
	}
}

// TestPackages: every file that goes into a package is there, or made.
func TestPackages(t *testing.T) {
	made := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "deploy/package/documents.sh", made)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("documents.sh: %v\n%s", err, out)
	}
	packages := load(t).Nfpms[0]
	for _, c := range packages.Contents {
		path := filepath.Join(root, c.Src)
		if name, is := strings.CutPrefix(c.Src, documents); is {
			path = filepath.Join(made, name)
		}
		if c.Type == "dir" {
			continue
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s is empty or missing: %v", c.Src, err)
		}
		if strings.HasPrefix(c.Dst, "/etc/") && c.Type != "config|noreplace" {
			t.Errorf("an upgrade replaces %s, which people edit: its type is %q", c.Dst, c.Type)
		}
	}
	unit, err := os.ReadFile(filepath.Join(made, "pipesteward.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "ExecStart=/usr/bin/pipesteward serve\n") {
		t.Errorf("the unit of packages does not start /usr/bin/pipesteward:\n%s", unit)
	}
	for _, script := range packages.Scripts {
		cmd := exec.CommandContext(t.Context(), "sh", "-n", script)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// TestSecrets: the installation makes all files that the unit needs, and no others.
func TestSecrets(t *testing.T) {
	var want []string
	for _, match := range regexp.MustCompile(`(?m)^LoadCredential=([a-z-]+):`).FindAllStringSubmatch(read(t, "deploy/pipesteward.service"), -1) {
		want = append(want, match[1])
	}
	match := regexp.MustCompile(`for name in ([^;]*);`).FindStringSubmatch(read(t, "deploy/package/postinstall.sh"))
	if match == nil {
		t.Fatal("postinstall.sh makes no files")
	}
	if got := strings.Fields(match[1]); len(want) == 0 || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("postinstall.sh makes %q, and the unit needs %q", got, want)
	}
}

// TestImage: the image of a release is that of deploy/Dockerfile, with another program.
func TestImage(t *testing.T) {
	final := func(path string) (steps []string) {
		text := read(t, path)
		for line := range strings.Lines(text[strings.LastIndex(text, "\nFROM scratch\n"):]) {
			word, _, _ := strings.Cut(line, " ")
			if slices.Contains([]string{"ENV", "USER", "WORKDIR", "EXPOSE", "ENTRYPOINT", "CMD"}, word) {
				steps = append(steps, strings.TrimSpace(line))
			}
		}
		slices.Sort(steps)
		return steps
	}
	want, got := final("deploy/Dockerfile"), final("deploy/package/Dockerfile")
	if len(want) < 6 || !slices.Equal(got, want) {
		t.Errorf("deploy/package/Dockerfile has %q, and deploy/Dockerfile %q", got, want)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
