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
		got, err := chatops.ParseButton(b.Value())
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

func TestValuesThatAreNoButton(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "null", "[]", `"retry"`, "retry", `{"does":"retry"`, `{"does":"retry","of":"d"} x`, `{"does":"retry","of":"d"}{}`,
		`{"does":"delete","of":"d"}`, `{"of":"d"}`, `{"does":"retry"}`, `{"does":"retry","of":"d","job":-1}`, `{"does":"retry","of":"d","job":"1"}`,
		`{"does":"retry","of":"d","by":"Ada"}`, `{"does":"retry","of":"` + strings.Repeat("d", 2000) + `"}`,
	} {
		if b, err := chatops.ParseButton(value); err == nil {
			t.Errorf("%q is the button %+v", value, b)
		}
	}
}
