package page

import (
	"fmt"

	"github.com/dustin/go-humanize/english"
)

// notice is something about the state of the server that all views show.
type notice struct {
	Tone string // of its colour and its shape: still, warn or bad
	Text string
	Path string // of the view that has more of it
}

// Notices returns what a person should know of the server, whatever the view.
func (s *shown) Notices() (all []notice) {
	add := func(is bool, tone, path, format string, args ...any) {
		if is {
			all = append(all, notice{tone, fmt.Sprintf(format, args...), path})
		}
	}
	gitlab, _ := s.Status.Parts["gitlab"].(map[string]any)
	up, known := gitlab["up"].(bool)
	storms, _ := s.Status.Parts["storms"].(map[string]any)
	open, _ := storms["open"].([]any)
	unsent, _ := s.Status.Parts["notices"].(map[string]any)
	waiting, _ := unsent["waiting"].(float64)
	add(s.Status.DryRun, "still", "/", "dry run: nothing is changed in GitLab")
	add(len(s.Status.Paused) > 0, "still", "/pauses", "%s", english.Plural(len(s.Status.Paused), "pause", ""))
	add(len(s.Status.Muted) > 0, "still", "/mutes", "%s", english.Plural(len(s.Status.Muted), "mute", ""))
	store, _ := s.Status.Parts["store"].(map[string]any)
	writable, seen := store["writable"].(bool)
	add(seen && !writable, "bad", "/", "the store can’t be written to")
	add(known && !up, "bad", "/", "GitLab can’t be used")
	add(s.Status.Rules.Error != "", "bad", "/rules", "the rule files can’t be used")
	add(len(open) > 0, "warn", "/limits", "%s open", english.Plural(len(open), "breaker", ""))
	add(waiting > 0, "warn", "/", "%s not delivered", english.Plural(int(waiting), "notification", ""))
	checks, _ := s.Status.Parts["checks"].(map[string]any)
	problems, _ := checks["problems"].(float64)
	warnings, _ := checks["warnings"].(float64)
	add(problems > 0, "bad", "/doctor", "%s found", english.Plural(int(problems), "problem", ""))
	add(warnings > 0, "warn", "/doctor", "%s", english.Plural(int(warnings), "warning", ""))
	add(s.Status.Queue.Dead > 0, "bad", "/dead", "%s", english.Plural(s.Status.Queue.Dead, "dead record", ""))
	return all
}
