package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TestMutedBy: a notice is muted if each rule that sends it is.
func TestMutedBy(t *testing.T) {
	all, ofRule, ofProject, inChannel := event.Mute{}, event.Mute{Rule: "r"}, event.Mute{Project: "platform/*"}, event.Mute{Channel: "#ci"}
	for _, test := range []struct {
		name  string
		mutes []event.Mute
		rules []string
		path  string
		to    string
		by    string // the scope; "": nobody has muted it
	}{
		{name: "no mutes", rules: []string{"r"}},
		{name: "everything", mutes: []event.Mute{all}, rules: []string{"r"}, by: "all"},
		{name: "its rule", mutes: []event.Mute{ofRule}, rules: []string{"r"}, by: "rule:r"},
		{name: "another rule", mutes: []event.Mute{ofRule}, rules: []string{"s"}},
		{name: "one of its rules", mutes: []event.Mute{ofRule}, rules: []string{"r", "s"}},
		{name: "both of its rules", mutes: []event.Mute{{Rule: "s"}, ofRule}, rules: []string{"r", "s"}, by: "rule:r"},
		{name: "a rule and everything", mutes: []event.Mute{ofRule, all}, rules: []string{"r", "s"}, by: "rule:r"},
		{name: "of an older version", mutes: []event.Mute{ofRule}, by: "rule:r"},
		{name: "its project", mutes: []event.Mute{ofProject}, rules: []string{"r"}, by: "project:platform/*"},
		{name: "another project", mutes: []event.Mute{ofProject}, path: "mobile/app", rules: []string{"r"}},
		{name: "its channel", mutes: []event.Mute{inChannel}, rules: []string{"r"}, by: "channel:ci"},
		{name: "its channel without #", mutes: []event.Mute{inChannel}, to: "ci", rules: []string{"r"}, by: "channel:ci"},
		{name: "its channel in upper case", mutes: []event.Mute{{Channel: "#CI"}}, rules: []string{"r"}, by: "channel:CI"},
		{name: "another channel", mutes: []event.Mute{inChannel}, to: "#ops", rules: []string{"r"}},
		{name: "all three", mutes: []event.Mute{{Rule: "r", Project: "platform/*", Channel: "ci"}}, rules: []string{"r"}, by: "rule:r, project:platform/*, channel:ci"},
		{name: "two of three", mutes: []event.Mute{{Rule: "r", Project: "platform/*", Channel: "ops"}}, rules: []string{"r"}},
	} {
		o := event.Outcome{}
		o.Rule, o.Project.Path = "r", "platform/shop"
		n := event.Notice{Rules: test.rules}
		n.Channel = "#ci"
		if test.path != "" {
			o.Project.Path = test.path
		}
		if test.to != "" {
			n.Channel = test.to
		}
		by := ""
		if m := o.MutedBy(test.mutes, n); m != nil {
			by = m.Scope()
		}
		if by != test.by {
			t.Errorf("%s: muted by %q, want %q", test.name, by, test.by)
		}
	}
	if inChannel.Covers("", "", event.Address{Channel: "ci"}) != true || ofRule.Covers("", "", event.Address{}) || ofProject.Covers("", "", event.Address{}) {
		t.Error("an announcement is muted with its channel, and with no rule or project")
	}
}

// TestCheckMute: each mistake has its error.
func TestCheckMute(t *testing.T) {
	now := time.Unix(1e9, 0)
	for says, m := range map[string]event.Mute{
		"":                                   {Rule: "r", Project: "a/**", Channel: "#ci", Until: now.Add(time.Second)},
		"is not a glob pattern":              {Project: "{a"},
		"more than 500 characters":           {Channel: strings.Repeat("原", 501)},
		"control characters: leave them out": {Channel: "a\nb"},
		`"#" is not one channel`:             {Channel: "#"},
		`"#a, #b" is not one channel`:        {Channel: "#a, #b"},
		"which is past":                      {Until: now},
		`"reason" has line breaks`:           {Reason: "a\nb"},
	} {
		if err := m.Check(now); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", m, err, says)
		}
	}
}
