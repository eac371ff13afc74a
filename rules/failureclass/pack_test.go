package failureclass_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/joblog"
)

// logOf returns the log of a job whose last command printed a line and failed.
func logOf(line string) string {
	return "Running with gitlab-runner 18.5.0\n$ make prepare\nready\n$ make\n" + line + "\nERROR: Job failed: exit code 1\n"
}

func free(int) error { return nil }

func common(t testing.TB) (samples []failureclass.Sample, m *failureclass.Matcher) {
	t.Helper()
	samples, err := failureclass.Pack("common")
	if err != nil {
		t.Fatal(err)
	}
	var list failureclass.List
	for _, s := range samples {
		list = append(list, s.Class)
	}
	return samples, failureclass.NewMatcher(list)
}

// TestSamples checks that each class of the pack matches its lines, before any other class
// does, and not the lines that are of another class or of a job that passed.
func TestSamples(t *testing.T) {
	samples, m := common(t)
	name, seen := regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`), map[string]bool{}
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			if seen[s.Name] || !name.MatchString(s.Name) || s.Doc == "" || len(s.Log) == 0 || len(s.Matches) == 0 || len(s.Others) == 0 {
				t.Error("the class occurs twice, or lacks its name, doc, patterns or lines")
			}
			seen[s.Name] = true
			for _, line := range s.Matches {
				for _, log := range []string{logOf(line), logOf("#12 3.456 " + line), logOf("3.456 " + line)} {
					if got, err := m.Match(log, free); got != s.Name || err != nil {
						t.Errorf("%q is of class %q: %v", line, got, err)
					}
					if strings.Contains(line, "ERROR: Job failed") {
						break // the runner's own words, not those of a build in a container
					}
				}
			}
			for _, line := range s.Others {
				if got, err := m.Match(logOf(line), free); got == s.Name || err != nil {
					t.Errorf("%q is of class %q: %v", line, got, err)
				}
			}
		})
	}
}

// job is a log of a job in testdata.
type job struct {
	Name  string `yaml:"name"`
	Class string `yaml:"class"`
	Log   string `yaml:"log"`
}

func jobs(t *testing.T, file string, atLeast int) (list []job) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Load(text, &list, yaml.WithKnownFields()); err != nil || len(list) < atLeast {
		t.Fatalf("%d logs in %s: %v", len(list), file, err)
	}
	return list
}

const (
	cleaning  = "Cleaning up project directory and file based variables\n"
	succeeded = "Job succeeded\n"
	failed    = "ERROR: Job failed: exit code 1\n"
)

// TestFailingLogs checks the classes of failed jobs, and that a class is lost if the command
// goes on to say something else and fails by that.
func TestFailingLogs(t *testing.T) {
	_, m := common(t)
	for _, j := range jobs(t, "failing.yaml", 40) {
		t.Run(j.Name, func(t *testing.T) {
			log := j.Log
			if !strings.Contains(log, "ERROR: Job failed") {
				log += cleaning + failed
			}
			if got, err := m.Match(joblog.Clean(log), free); got != j.Class || err != nil {
				t.Errorf("the log is of class %q, want %q: %v", got, j.Class, err)
			}
			if strings.Contains(j.Log, "ERROR: Job failed") || j.Class == "test-failure" || j.Class == "compile-error" {
				return
			}
			if got, err := m.Match(joblog.Clean(j.Log+"the third try passed\nthe checksums differ\n"+cleaning+failed), free); got != "" || err != nil {
				t.Errorf("a later failure is of class %q: %v", got, err)
			}
		})
	}
}

// TestPassingLogs checks that no class of the pack matches the log of a job that passed, even
// without the runner's word for it: not if the same command had gone on and failed.
func TestPassingLogs(t *testing.T) {
	_, m := common(t)
	all, err := failureclass.PassingLogs()
	if err != nil || len(all) < 45 {
		t.Fatalf("%d logs, %v", len(all), err)
	}
	for _, j := range all {
		t.Run(j.Name, func(t *testing.T) {
			log := strings.TrimSuffix(strings.TrimSuffix(j.Log, succeeded), cleaning)
			ends := map[string]string{
				"it passed":                    cleaning + succeeded,
				"it failed by the next lines":  "the checksums differ\n" + cleaning + failed,
				"Make failed by the next line": "the checksums differ\nmake: *** [Makefile:7: check] Error 1\n" + failed,
			}
			if !j.NoiseLast {
				ends["it failed and said nothing"] = cleaning + failed
			}
			for what, end := range ends {
				if got, err := m.Match(joblog.Clean(log+end), free); got != "" || err != nil {
					t.Errorf("%s: the log is of class %q: %v", what, got, err)
				}
			}
		})
	}
}

// TestFailedLogs checks the classes of the logs of failed jobs with which package joblog is
// tested. Those of no class are of faults that are nobody else's.
func TestFailedLogs(t *testing.T) {
	_, m := common(t)
	got := map[string]string{}
	files, err := filepath.Glob("../joblog/testdata/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got[strings.TrimSuffix(filepath.Base(name), ".log")], err = m.Match(joblog.Clean(string(log)), free); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"compiler": "compile-error", "curl": "dns", "disk-full": "disk-full", "docker-build": "registry-rate-limit", "git": "git-fetch", "go-panic": "test-failure", "go-test": "test-failure",
		"gradle": "maven-repository", "image-pull": "registry-unavailable", "jest": "test-failure", "killed": "out-of-memory", "kubernetes": "", "maven": "compile-error",
		"npm": "connection-broken", "pytest": "test-failure", "python": "", "rspec": "test-failure", "rust": "compile-error", "silent": "", "system-failure": "runner-lost", "terraform": "",
		"timeout": "", "timestamps": "command-not-found",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
}

// TestPackIsCheap checks that each pattern of the pack is matched with few lines only.
func TestPackIsCheap(t *testing.T) {
	samples, _ := common(t)
	for _, s := range samples {
		for _, re := range s.Log {
			if literal, inLine := failureclass.Cheap(re); literal < 3 || !inLine {
				t.Errorf("%s: %s is matched with many lines, or with the whole log: its shortest literal has %d bytes, in a line: %t", s.Name, re, literal, inLine)
			}
		}
	}
}
