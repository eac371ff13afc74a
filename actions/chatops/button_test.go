package chatops_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/chatops"
)

func TestButtons(t *testing.T) {
	t.Parallel()
	for _, b := range []chatops.Button{
		{Does: chatops.ButtonRetry, Of: "sha256:0a1b:retry-stuck:retry:9", Job: 9},
		{Does: chatops.ButtonWhy, Of: `a "decision" <of> & ünicode`},
	} {
		got, err := chatops.ParseButton(b.ActionID(), b.Value())
		if got != b || err != nil {
			t.Errorf("%+v becomes %+v, %v", b, got, err)
		}
		if !chatops.IsButton(b.ActionID()) {
			t.Errorf("%q is no action_id of a button", b.ActionID())
		}
	}
	one, other := chatops.Button{Does: chatops.ButtonRetry, Of: "d", Job: 1}, chatops.Button{Does: chatops.ButtonRetry, Of: "d", Job: 2}
	if one.ActionID() == other.ActionID() {
		t.Errorf("buttons of two jobs have one action_id: %q", one.ActionID())
	}
	if chatops.IsButton("retry") {
		t.Error("the action_id of another app is taken for one of ours")
	}
}

// TestMenus: the options of a menu are buttons that its action_id describes but for what they do.
func TestMenus(t *testing.T) {
	t.Parallel()
	b := chatops.Button{Does: chatops.ButtonMuteChannel, Of: "retry:https://gitlab.example.com:7:9:failed@1700000000000000000", Job: 9, In: "ci", Language: "zh"}
	id, ok := b.MenuID()
	if got, err := chatops.ParseButton(id, b.Does); got != b || err != nil || !ok || !chatops.IsButton(id) {
		t.Errorf("%+v becomes %q, %t, and %+v, %v", b, id, ok, got, err)
	}
	for _, does := range []string{"", "delete", b.Value()} {
		if got, err := chatops.ParseButton(id, does); err == nil {
			t.Errorf("the option %q is the button %+v", does, got)
		}
	}
	if got, err := chatops.ParseButton("pipesteward:menu:{}", b.Does); err == nil {
		t.Errorf("an option of no decision is the button %+v", got)
	}
	b.Of = strings.Repeat("d", 250)
	if id, ok := b.MenuID(); ok {
		t.Errorf("Slack refuses an action_id of %d characters", len(id))
	}
}

func TestValuesThatAreNoButton(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "null", "[]", `"retry"`, "retry", `{"does":"retry"`, `{"does":"retry","of":"d"} x`, `{"does":"retry","of":"d"}{}`,
		`{"does":"delete","of":"d"}`, `{"of":"d"}`, `{"does":"retry"}`, `{"does":"retry","of":"d","job":-1}`, `{"does":"retry","of":"d","job":"1"}`,
		`{"does":"retry","of":"d","by":"Ada"}`, `{"does":"retry","of":"` + strings.Repeat("d", 2000) + `"}`,
	} {
		if b, err := chatops.ParseButton(chatops.Button{}.ActionID(), value); err == nil {
			t.Errorf("%q is the button %+v", value, b)
		}
	}
}
