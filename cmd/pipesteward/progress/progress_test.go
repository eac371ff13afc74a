package progress

import (
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/rules/event"
)

// The time that is left is estimated from the projects and the dates of their jobs,
// without what an earlier process did.
func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []sweep.Step
		want  string
	}{
		{"one project", []sweep.Step{{Position: 1, Projects: 1}, {Position: 1, Projects: 1, Through: 0.25}}, ", about 3h0m0s left"},
		{"the second of three", []sweep.Step{{Position: 1, Projects: 3}, {Position: 2, Projects: 3, Through: 0.5}}, ", about 1h0m0s left"},
		{"gone on with", []sweep.Step{{Position: 901, Projects: 1000}, {Position: 902, Projects: 1000}}, ", about 99h0m0s left"},
		{"gone on with, just now", []sweep.Step{{Position: 901, Projects: 1000, Through: 0.5}}, " freed"},
	} {
		s := newRunProgress(event.Sweep{Rule: "nightly"})
		for _, step := range c.steps {
			s.add(step)
		}
		if line := s.line(s.began.Add(time.Hour)); !strings.HasSuffix(line, c.want) {
			t.Errorf("%s: %q, want one that ends with %q", c.name, line, c.want)
		}
	}
}

// TestBarsEnd: the display of a sweep ends, also right after its start, before the bar is
// drawn.
func TestBarsEnd(t *testing.T) {
	t.Parallel()
	for range 50 {
		New(&screen{columns: 80}, 80).End(false)
	}
}
