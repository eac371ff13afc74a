package joblog_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

var update = flag.Bool("update", false, "write the expected excerpts of testdata anew")

// errorLines are the results of Line for the logs of testdata.
var errorLines = map[string]string{
	"compiler":       "src/part16.cpp:N: error: 'pric' was not declared in this scope; did you mean 'price'?",
	"curl":           "curl: (N) Could not resolve host: get.example.com",
	"disk-full":      "tar: /tmp/…/part024: Cannot write: No space left on device",
	"docker-build":   "ERROR: failed to solve: alpine:N: failed to resolve source metadata for docker.io/library/alpine:N: toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
	"git":            "fatal: unable to access 'https://gitlab.example.com/platform/shop.git/': The requested URL returned error: N",
	"go-panic":       "panic: runtime error: invalid memory address or nil pointer dereference",
	"go-test":        "--- FAIL: TestCheckout (N)",
	"gradle":         "Could not resolve all files for configuration ':shop:compileClasspath'.",
	"image-pull":     `WARNING: Failed to pull image with policy "always": Error response from daemon: Get "https://registry.example.com/v2/": net/http: TLS handshake timeout (manager.go:N)`,
	"jest":           "● cart › adds up",
	"killed":         "/scripts-N/step_script: line N:    N Killed                  ./train.sh",
	"kubernetes":     "shop-N   N/N     OOMKilled          N (N ago)   N",
	"maven":          "[ERROR] /builds/…/shop/src/main/java/Cart.java:[N] cannot find symbol",
	"npm":            "npm error code ECONNRESET",
	"pytest":         "E       assert N == N",
	"python":         `django.db.utils.OperationalError: connection to server at "postgres" (N), port N failed: FATAL:  the database system is starting up`,
	"rspec":          "N) Cart adds up prices",
	"rust":           "error[E0308]: mismatched types",
	"silent":         "built dist/part21.js",
	"system-failure": `ERROR: Job failed (system failure): pods "runner-N-project-N-concurrent-N" not found`,
	"terraform":      "│ Error: Error acquiring the state lock",
	"timeout":        "ERROR: Job failed: execution took longer than N seconds",
	"timestamps":     "sh: N: webpack: command not found",
}

// TestLogs compares the excerpts of 10 lines of the logs of testdata, which
// the runner wrote, with the files beside them.
func TestLogs(t *testing.T) {
	logs, err := filepath.Glob("testdata/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		name := strings.TrimSuffix(filepath.Base(log), ".log")
		t.Run(name, func(t *testing.T) {
			text := redact.Secrets(joblog.Clean(read(t, log)))
			got := joblog.Excerpt(text, 10) + "\n"
			expected := strings.TrimSuffix(log, ".log") + ".txt"
			if *update {
				if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, expected), got); diff != "" {
				t.Errorf("excerpt: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(errorLines[name], joblog.Line(text)); diff != "" {
				t.Errorf("line: -want +got\n%s", diff)
			}
		})
	}
	if len(logs) != len(errorLines) {
		t.Errorf("%d logs, and lines of %d", len(logs), len(errorLines))
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// shapes are lines, each of which reports an error.
var shapes = []string{
	"main.c:3:5: error: expected ';'", "./cart.go:12:3: undefined: x", "src/a.ts(3,5): error TS2304: Cannot find name 'x'.", "src/a.ts:3:5 - error TS2304: x",
	"Program.cs(3,5): error CS1002: ; expected", "--- FAIL: TestX (0.00s)", "panic: boom", "fatal error: all goroutines are asleep - deadlock!",
	"E   assert 1 == 2", "FAILED tests/test_x.py::test_y - KeyError", "npm ERR! code ELIFECYCLE", "npm error code E404", "● cart › adds up", "rspec ./spec/x_spec.rb:3 # X",
	"[ERROR] COMPILATION ERROR :", "ValueError: x", "java.lang.IllegalStateException: x", "error[E0382]: use of moved value", "error: linking with `cc` failed",
	"error during connect: Get http://docker:2375: dial tcp", "toomanyrequests: Rate exceeded", "pod x: OOMKilled", "Back-off: ImagePullBackOff",
	"sh: webpack: command not found", "/bin/sh: 1: make: not found", "cp: x: No space left on device", "curl: (7) Failed to connect", "fatal: not a git repository",
	"│ Error: Unsupported argument", "Segmentation fault (core dumped)", "Killed", "x: line 1:    57 Killed                  ./x", "make: *** [all] Error 2",
	"thread 'main' panicked at src/main.rs:2:5:", "E: Unable to locate package x", "ERROR: No matching distribution found for x", "error: no such file", "fatal: no upstream",
	"dial tcp: lookup x on 10.0.0.2:53: i/o timeout", "Error: Cannot find module 'x'", "the build failed", "4 errors", "Failures: 1, Errors: 0", "Access denied",
}

// falsePositives contain a word for an error, but report none.
var falsePositives = []string{
	"0 errors", "errors: 0", "Errors: 0, Failures: 0", "error: none", "error: null,", "no errors found", "found 0 errors, 0 warnings", "failed=0 unreachable=0",
	"run with --fail-fast", "loading error_handler.rb", "gcc -Werror -c x.c", "step if-error skipped", "lib/errors.rb", "without errors", "Downloading error-prone-2.jar",
	"main.c:3:5: warning: unused variable 'error'", "main.c:3:5: note: error was here", "warning: error is deprecated", "[WARNING] failed to load", "INFO failed jobs are listed",
	"✓ tells an error (3 ms)", "test error::parse ... ok", "tests/x.py::test_error PASSED", "$ make || echo error: failed", "+ test -f x || echo failed", "● Console",
	"ERROR: Job failed: exit code 1", "ERROR: No files to upload", "Uploading artifacts for failed job", "Cleaning up project directory and file based variables",
}

func TestShapesAndFalsePositives(t *testing.T) {
	const last = "the last line\n"
	for _, line := range shapes {
		if got := joblog.Excerpt("a\nb\nc\n"+line+"\nd\n"+last, 3); got != "b\nc\n"+line {
			t.Errorf("%q is not found: %q", line, got)
		}
	}
	for _, line := range falsePositives {
		log := line + "\nx\nx\nx\n" + last
		if begun := strings.HasPrefix(line, "Uploading") || strings.HasPrefix(line, "Cleaning"); begun {
			log = "x\n" + last + line + "\n" // the script has ended before these lines
		}
		if got := joblog.Excerpt(log, 1); got != strings.TrimSpace(last) {
			t.Errorf("%q is taken for an error: %q", line, got)
		}
	}
}

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("ü", 400)
	for _, c := range []struct {
		name  string
		in    string
		lines int
		want  string
	}{
		{"nothing", "", 5, ""},
		{"blank", " \n\n", 5, ""},
		{"no lines", "a", 0, ""},
		{"fewer than none", "a", -1, ""},
		{"the tail", "a\nb\nc\n", 2, "b\nc"},
		{"no more than there is", "a\nb", 5, "a\nb"},
		{"one line", "a\nfatal: b\nc", 1, "fatal: b"},
		{"two lines", "a\nfatal: b\nc", 2, "a\nfatal: b"},
		{"context", "a\nb\nc\nfatal: d\ne\nf\n", 4, "b\nc\nfatal: d\ne"},
		{"the first", "fatal: a\nb\nfatal: c", 2, "fatal: a\nb"},
		{"a shape before a word", "it failed\nb\nc\nd\nfatal: e", 3, "c\nd\nfatal: e"},
		{"a word, where no line has a shape", "a\nit failed\nb\nc\nd\ne", 2, "a\nit failed"},
		{"the runner's fault before a word", "it failed\na\nb\nERROR: Job failed (system failure): x", 1, "ERROR: Job failed (system failure): x"},
		{"a shape before the runner's fault", "fatal: a\nERROR: Job failed (system failure): x", 1, "fatal: a"},
		{"the runner's last line is no error", "a\nb\nERROR: Job failed: exit status 1", 1, "b"},
		{"only the runner's", "ERROR: Job failed: exit code 1", 1, "ERROR: Job failed: exit code 1"},
		{"after_script's errors are not the script's", "a\nRunning after_script\nfatal: b\nERROR: Job failed: exit code 1", 1, "a"},
		{"an upload that failed", "a\nUploading artifacts for successful job\nFATAL: too large", 1, "FATAL: too large"},
		{"exception that goes on", "Traceback (most recent call last):\n  File x\n    y()\nKeyError: 'z'\nmore", 1, "KeyError: 'z'"},
		{"exception of another, indented", "app |  Traceback (most recent call last):\n", 3, "app |  Traceback (most recent call last):"},
		{"cut", long, 1, long[:2*299] + "…"},
		{"blank lines around", "\n\na\n\nb\n\n\n", 9, "a\n\nb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, joblog.Excerpt(c.in, c.lines)); diff != "" {
				t.Errorf("Excerpt(%q, %d): -want +got\n%s", c.in, c.lines, diff)
			}
		})
	}
}

func BenchmarkExcerpt(b *testing.B) {
	for _, c := range []struct{ name, format string }{
		{"no error", "12:00:%02d step %d of the build; no errors, 3 warnings =====\n"},
		{"short lines", "%d%d\n"},
	} {
		text := aLog(c.format)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				joblog.Excerpt(text, 20)
			}
		})
	}
}
