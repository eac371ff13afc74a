package redact_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Secrets that are a part of another one leave nothing of it.
func TestKnown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		secrets []string
		want    string
	}{
		{"none", nil, "hush-hush-old hush-hush, hush-hush-old"},
		{"empty ones", []string{"", ""}, "hush-hush-old hush-hush, hush-hush-old"},
		{"one", []string{"hush-hush"}, "*-old *, *-old"},
		{"the shorter one first", []string{"hush-hush", "hush-hush-old"}, "* *, *"},
		{"the longer one first", []string{"hush-hush-old", "hush-hush"}, "* *, *"},
		{"one inside of another", []string{"hush", "-hush-old", "hush-hush-old"}, "* *-*, *"},
	} {
		if got := redact.Known("*", c.secrets...)("hush-hush-old hush-hush, hush-hush-old"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
