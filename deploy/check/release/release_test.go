package release_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../../.."

// documents is where .goreleaser.yaml has documents.sh put what it makes.
const documents = "dist-documents/"

// config is what this test reads of .goreleaser.yaml.
type config struct {
	Builds []struct {
		Goos, Goarch, Ldflags []string
	}
	Archives []struct {
		WrapInDirectory bool `json:"wrap_in_directory"`
		Files           []struct{ Src, Dst string }
	}
	Nfpms []struct {
		PackageName string `json:"package_name"`
		Maintainer  string
		Description string
		Bindir      string
		Umask       fs.FileMode
		Recommends  []string
		Contents    []struct {
			Src, Dst, Type, Packager string
			FileInfo                 struct{ Mode fs.FileMode } `json:"file_info"`
		}
		Scripts struct{ Postinstall, Preremove, Postremove string }
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

// TestMain removes what the tests build.
func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "pipesteward-release-"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(buildDir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// buildDir is where the tests build, as the release does at the top of the repository.
var buildDir string

// made is where documents.sh makes its files, for all tests.
var made = sync.OnceValues(func() (string, error) {
	to := filepath.Join(buildDir, documents)
	cmd := exec.Command("sh", "deploy/package/documents.sh", to)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("documents.sh: %w\n%s", err, out)
	}
	return to, err
})

// makeDocuments returns the directory with what documents.sh makes.
func makeDocuments(t *testing.T) string {
	t.Helper()
	to, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestPackages: every file that goes into a package is there, or made.
func TestPackages(t *testing.T) {
	made := makeDocuments(t)
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
	for _, script := range []string{packages.Scripts.Postinstall, packages.Scripts.Preremove, packages.Scripts.Postremove} {
		cmd := exec.CommandContext(t.Context(), "sh", "-n", script)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// TestDocumentsOfPackages: a link from a document to a file, as a reader of an archive or a package
// follows it, leads to that file.
func TestDocumentsOfPackages(t *testing.T) {
	c := load(t)
	if !slices.ContainsFunc(c.Archives[0].Files, func(f struct{ Src, Dst string }) bool { return f.Src == documents+"documents" && f.Dst == "." }) || !c.Archives[0].WrapInDirectory {
		t.Errorf("archives have not the documents at the top of a directory of their own: %+v", c.Archives)
	}
	dir := filepath.Join(makeDocuments(t), "documents")
	link := regexp.MustCompile(`(?:\]\(|<img src=")([^)"#\s]+)[)"#]`)
	links := 0
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".md" {
			return err
		}
		text, err := os.ReadFile(name)
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], ":") {
				continue // a page of others
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), match[1])); err != nil {
				t.Errorf("%s links to %s, which is not in packages: %v", strings.TrimPrefix(name, dir+"/"), match[1], err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 100 {
		t.Errorf("only %d links are found", links)
	}
	for _, name := range []string{"README.zh-CN.md", "LICENSE", "rules.example.test.yaml", "deploy/pipesteward.service", "deploy/pipesteward.env.example"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is not in packages: %v", name, err)
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
