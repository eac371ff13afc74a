package event

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// Pause stops actions: all actions, those in the projects that match a glob,
// or those of a rule. A person creates it. It ends when a person resumes, or
// at Until.
type Pause struct {
	Project string    `json:"project,omitzero"` // a glob of project paths
	Rule    string    `json:"rule,omitzero"`    // a rule's name
	By      string    `json:"by,omitzero"`      // the person who created it
	Reason  string    `json:"reason,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"` // zero: until somebody resumes
}

// Scope returns what the pause applies to: all, project:GLOB or rule:NAME.
func (p Pause) Scope() string {
	switch {
	case p.Project != "":
		return "project:" + p.Project
	case p.Rule != "":
		return "rule:" + p.Rule
	}
	return "all"
}

// MaxPauses is the maximum number of pauses in force.
const MaxPauses = 1000

// ErrManyPauses is the error for creating a pause while MaxPauses are in
// force.
var ErrManyPauses = fmt.Errorf("there are %d pauses, as many as can be: resume some", MaxPauses)

// ErrUnreadablePauses is the error if the stored pauses can't be decoded. All
// actions wait until they are replaced.
var ErrUnreadablePauses = errors.New("the pauses can't be read, so all actions wait: end all with `resume --every`, and pause again")

// MaxText is the maximum length of each text that people give with a change, in characters.
const MaxText = 500

// TooLong reports whether one of the texts is longer than MaxText.
func TooLong(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return utf8.RuneCountInString(text) > MaxText })
}

// Check returns a *ScopeError that describes the first mistake in a pause that
// begins now; nil if there is none.
func (p Pause) Check(now time.Time) error {
	switch {
	case p.Project != "" && p.Rule != "":
		return wrongScope(ScopeBoth, "", "a pause is for the projects of a glob or for a rule, not for both: make two")
	case CheckProjects(p.Project) != nil:
		return CheckProjects(p.Project)
	case TooLong(p.Project, p.Rule, p.By, p.Reason):
		return wrongScope(ScopeLong, strconv.Itoa(MaxText), "a text of the pause has more than %d characters", MaxText)
	case strings.ContainsFunc(p.Project+p.Rule, IsControl):
		return wrongScope(ScopeControl, "", "a pattern or a rule's name has no line breaks or other control characters: leave them out")
	case p.Ended(now):
		return wrongScope(ScopePast, p.Until.Format(time.RFC3339), "the pause would end at %s, which is past", p.Until.Format(time.RFC3339))
	}
	return CheckWords(p.By, p.Reason)
}

// CheckProjects returns an error if a text is no glob of project paths.
func CheckProjects(glob string) error {
	if !doublestar.ValidatePattern(glob) {
		return wrongScope(ScopeGlob, glob, "%q is not a glob pattern: `*` matches within a path part, `**` over parts, `{a,b}` either", glob)
	}
	return nil
}

// MatchesProject reports whether a glob matches the path of a project. Letter case does not
// matter, as in GitLab.
func MatchesProject(glob, path string) bool {
	return doublestar.MatchUnvalidated(strings.ToLower(glob), strings.ToLower(path))
}

// Identity returns the scope without regard to letter case in the glob of project paths.
func (p Pause) Identity() string {
	p.Project = strings.ToLower(p.Project)
	return p.Scope()
}

// Outlasts reports whether the pause ends later than another one.
func (p Pause) Outlasts(other Pause) bool {
	return !other.Until.IsZero() && (p.Until.IsZero() || p.Until.After(other.Until))
}

// Ended reports whether the pause has ended at the given time.
func (p Pause) Ended(now time.Time) bool { return !p.Until.IsZero() && !p.Until.After(now) }

// Stops reports whether the pause stops the action of a decision. If several
// rules request the action, the pause of a rule stops it only if no unpaused
// rule requests it.
func (p Pause) Stops(d Decision) bool {
	if p.Rule != "" {
		return p.Rule == d.Rule && !slices.ContainsFunc(d.AlsoWantedBy, func(other string) bool { return other != p.Rule })
	}
	return p.Covers(d.Project.Path)
}

// Covers reports whether the pause stops everything in a project or a group, by its path,
// whatever the rule.
func (p Pause) Covers(path string) bool {
	return p.Rule == "" && (p.Project == "" || MatchesProject(p.Project, path))
}

// pausedPrefix begins the description of each pause.
const pausedPrefix = "paused ("

// IsPause reports whether the reason of an outcome is a pause.
func IsPause(reason string) bool { return strings.HasPrefix(reason, pausedPrefix) }

// String describes the pause: who stopped which actions, and until when.
func (p Pause) String() string {
	return pausedPrefix + p.Scope() + ")" + said(p.By, p.Reason, p.Until)
}

// said describes who created a pause or a mute, why, and until when.
func said(by, reason string, until time.Time) (text string) {
	if by != "" {
		text += " by " + by
	}
	if reason != "" {
		text += ": " + reason
	}
	if !until.IsZero() {
		text += ", until " + until.UTC().Format(time.RFC3339)
	}
	return text
}
