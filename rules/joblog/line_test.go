package joblog_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules/joblog"
)

// TestLine checks that the same fault results in the same line for each job.
func TestLine(t *testing.T) {
	for _, c := range []struct{ want, one, other string }{
		{"", "", "\n \n"},
		{"fatal: job N", "fatal: job 12", "a\nb\nfatal: job 345\nc"},
		{"fatal: took N", "fatal: took 1m3.5s", "fatal: took 12ms"},
		{"fatal: at N of N", "fatal: at 2026-11-22T12:00:01Z of 12", "fatal: at 12:00:01.5 of 3"},
		{"fatal: N.", "fatal: 10.0.3.17:5432.", "fatal: 10.0.12.1:80."},
		{"fatal: N", "fatal: 550e8400-e29b-41d4-a716-446655440000", "fatal: f47ac10b-58cc-4372-a567-0e02b2c3d479"},
		{"fatal: sha N", "fatal: sha 8f3a2c1d", "fatal: sha b1946ac92492d2347c6235b4d2611184"},
		{"fatal: N", "fatal: 0x7fff5fbff8c0", "fatal: 0x1"},
		{"fatal: /tmp/…/x.go", "fatal: /tmp/go-build123/x.go", "fatal: /tmp/abc.def/x.go"},
		{"fatal: '/tmp/…': x", "fatal: '/tmp/abc': x", "fatal: '/tmp/def-2': x"},
		{"ERROR: Job failed (system failure): pod \"runner-N-project-N-concurrent-N\" N", "ERROR: Job failed (system failure): pod \"runner-dyz3kq8wb-project-42-concurrent-0\" 1s", "ERROR: Job failed (system failure): pod \"runner-a1b2c3d4e-project-7-concurrent-12\" 20s"},
	} {
		for _, log := range []string{c.one, c.other} {
			if got := joblog.Line(log); got != c.want {
				t.Errorf("Line(%q) = %q, want %q", log, got, c.want)
			}
		}
	}
	for _, line := range []string{"error[E0308]: mismatched types", "python3: command not found", "error TS2304: x", "fatal: bad utf8 in a face, deadbeef"} {
		if got := joblog.Line(line); got != line {
			t.Errorf("Line(%q) = %q", line, got)
		}
	}
}
