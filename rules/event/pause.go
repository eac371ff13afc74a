package event

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Pause stops actions: all of them, those in the projects that a glob matches,
// or those of a rule. A person made it, and it ends by a person or at Until.
type Pause struct {
	Project string    `json:"project,omitzero"` // a glob of the project's path
	Rule    string    `json:"rule,omitzero"`    // a rule's name
	By      string    `json:"by,omitzero"`      // who made it
	Reason  string    `json:"reason,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"` // zero: until somebody resumes
}

// Scope names what the pause stops: all, project:GLOB or rule:NAME.
func (p Pause) Scope() string {
	switch {
	case p.Project != "":
		return "project:" + p.Project
	case p.Rule != "":
		return "rule:" + p.Rule
	}
	return "all"
}

// MaxPauses bounds how many pauses can be in force.
const MaxPauses = 1000

// ErrManyPauses refuses one more.
var ErrManyPauses = fmt.Errorf("there are %d pauses, as many as can be: resume some", MaxPauses)

// ErrUnreadablePauses is that nobody knows what is paused: all actions wait.
var ErrUnreadablePauses = errors.New("the pauses can't be read, and all actions wait: end all with `resume --every`, and pause again")

// maxPauseText bounds each text of a pause, in bytes.
const maxPauseText = 500

// Check returns an error that says what is wrong with a pause that begins now.
func (p Pause) Check(now time.Time) error {
	switch {
	case p.Project != "" && p.Rule != "":
		return errors.New("a pause is for the projects of a glob or for a rule, not for both: make two")
	case !doublestar.ValidatePattern(p.Project):
		return fmt.Errorf("%q is not a glob pattern: `*` matches within a path part, `**` over parts, `{a,b}` either", p.Project)
	case max(len(p.Project), len(p.Rule), len(p.By), len(p.Reason)) > maxPauseText:
		return fmt.Errorf("a text of the pause has more than %d bytes", maxPauseText)
	case p.Ended(now):
		return fmt.Errorf("the pause would end at %s, which is past", p.Until.Format(time.RFC3339))
	}
	return nil
}

// Ended reports whether the pause is over at the given time.
func (p Pause) Ended(now time.Time) bool { return !p.Until.IsZero() && !p.Until.After(now) }

// Stops reports whether the pause stops the action of a decision. One that
// several rules want is stopped by the pause of a rule only if no other wants it.
func (p Pause) Stops(d Decision) bool {
	switch {
	case p.Project != "":
		return doublestar.MatchUnvalidated(p.Project, d.Project.Path)
	case p.Rule != "":
		return p.Rule == d.Rule && !slices.ContainsFunc(d.AlsoWantedBy, func(other string) bool { return other != p.Rule })
	}
	return true
}

// String says who stopped what until when.
func (p Pause) String() string {
	text := "paused (" + p.Scope() + ")"
	if p.By != "" {
		text += " by " + p.By
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	if !p.Until.IsZero() {
		text += ", until " + p.Until.UTC().Format(time.RFC3339)
	}
	return text
}
