package failureclass_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// TestPassingLogs checks that no class of the pack matches the log of a job that passed.
func TestPassingLogs(t *testing.T) {
	_, m := common(t)
	files, err := filepath.Glob("testdata/passing/*.log")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			log, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := m.Match(joblog.Clean(string(log)), free); got != "" || err != nil {
				t.Errorf("the log is of class %q: %v", got, err)
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
