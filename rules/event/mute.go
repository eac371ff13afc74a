package event

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mute keeps notifications from being sent: those of a rule, of the projects that match
// a glob or in a channel, those to which all of these apply if several are given, or all.
// Actions go on. A person creates it. It ends when a person unmutes, or at Until.
type Mute struct {
	Rule    string    `json:"rule,omitzero"`    // a rule's name
	Project string    `json:"project,omitzero"` // a glob of project paths
	Channel string    `json:"channel,omitzero"` // as rules name it, with or without '#'
	By      string    `json:"by,omitzero"`      // the person who created it
	Reason  string    `json:"reason,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"` // zero: until somebody unmutes
}

// Scope returns what the mute applies to: all, or rule:NAME, project:GLOB and
// channel:#NAME, separated by commas.
func (m Mute) Scope() string {
	var parts []string
	if m.Rule != "" {
		parts = append(parts, "rule:"+m.Rule)
	}
	if m.Project != "" {
		parts = append(parts, "project:"+m.Project)
	}
	if m.Channel != "" {
		parts = append(parts, "channel:"+bareChannel(m.Channel))
	}
	return cmp.Or(strings.Join(parts, ", "), "all")
}

// Identity returns the scope without regard to letter case in the glob of project paths, and in
// the channel.
func (m Mute) Identity() string {
	m.Project, m.Channel = strings.ToLower(m.Project), strings.ToLower(m.Channel)
	return m.Scope()
}

// MaxMutes is the maximum number of mutes in force.
const MaxMutes = 1000

// ErrManyMutes is the error for creating a mute while MaxMutes are in force.
var ErrManyMutes = fmt.Errorf("there are %d mutes, as many as can be: unmute some", MaxMutes)

// ErrUnreadableMutes is the error if the stored mutes can't be decoded. All notifications
// wait until they are replaced.
var ErrUnreadableMutes = errors.New("the mutes can't be read, so all notifications wait: end all with `unmute --every`, and mute again")

// Check returns a *ScopeError that describes the first mistake in a mute that begins now; nil
// if there is none.
func (m Mute) Check(now time.Time) error {
	switch {
	case CheckProjects(m.Project) != nil:
		return CheckProjects(m.Project)
	case TooLong(m.Project, m.Rule, m.Channel, m.By, m.Reason):
		return wrongScope(ScopeLong, strconv.Itoa(MaxText), "a text of the mute has more than %d characters", MaxText)
	case strings.ContainsFunc(m.Project+m.Rule+m.Channel, IsControl):
		return wrongScope(ScopeControl, "", "a pattern, a channel or a rule's name has no line breaks or other control characters: leave them out")
	case m.Channel != "" && (bareChannel(m.Channel) == "" || strings.ContainsAny(m.Channel, " ,")):
		return wrongScope(ScopeChannel, m.Channel, "%q is not one channel: write its name or its id as the rule file has it, like \"#ci\"", m.Channel)
	case m.Ended(now):
		return wrongScope(ScopePast, m.Until.Format(time.RFC3339), "the mute would end at %s, which is past", m.Until.Format(time.RFC3339))
	}
	return CheckWords(m.By, m.Reason)
}

// bareChannel returns the name of a channel without its '#'.
func bareChannel(name string) string { return strings.TrimPrefix(strings.TrimSpace(name), "#") }

// Outlasts reports whether the mute ends later than another one.
func (m Mute) Outlasts(other Mute) bool {
	return !other.Until.IsZero() && (m.Until.IsZero() || m.Until.After(other.Until))
}

// Ended reports whether the mute has ended at the given time.
func (m Mute) Ended(now time.Time) bool { return !m.Until.IsZero() && !m.Until.After(now) }

// Covers reports whether the mute applies to what a rule sends to an address about a
// project. What belongs to no rule or project has "" for it, and only mutes that are
// neither for a rule nor for a project apply to it.
func (m Mute) Covers(rule, project string, to Address) bool {
	return (m.Rule == "" || m.Rule == rule) &&
		(m.Project == "" || project != "" && MatchesProject(m.Project, project)) &&
		(m.Channel == "" || strings.EqualFold(bareChannel(m.Channel), bareChannel(to.Channel)))
}

// MutedBy returns the mute that keeps a notice of an outcome from being sent; nil: none
// does. If several rules send the notice, each of them must be muted.
func (o Outcome) MutedBy(mutes []Mute, n Notice) *Mute {
	rules := n.Rules
	if len(rules) == 0 { // an older version queued it
		rules = []string{o.Rule}
	}
	var by *Mute
	for _, rule := range rules {
		i := slices.IndexFunc(mutes, func(m Mute) bool { return m.Covers(rule, o.Project.Path, n.Address) })
		if i < 0 {
			return nil
		}
		by = cmp.Or(by, &mutes[i])
	}
	return by
}

// String describes the mute: who muted what, and until when.
func (m Mute) String() string { return "muted (" + m.Scope() + ")" + said(m.By, m.Reason, m.Until) }
