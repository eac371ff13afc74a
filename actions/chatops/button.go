package chatops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// actionPrefix begins the action_id of Pipesteward's buttons, and menuPrefix that of its
	// menus.
	actionPrefix = "pipesteward:"
	menuPrefix   = actionPrefix + "menu:"
)

// Slack's limits in characters: on the value of a button, and on an action_id.
const (
	maxValue    = 2000
	maxActionID = 255
)

// everyButton lists what buttons do.
var everyButton = slices.Concat(Mutes, []string{
	ButtonRetry, ButtonPlay, ButtonCancel, ButtonErase, ButtonLog, ButtonWhy, ButtonConfirm, ButtonReject,
})

// ActionID returns Slack's action_id of the button. Those of a message differ if what the
// buttons do, or their jobs, differ.
func (b Button) ActionID() string { return fmt.Sprintf("%s%s:%d", actionPrefix, b.Does, b.Job) }

// MenuID returns Slack's action_id of an overflow menu. The value of each of its options is
// what the button does: Slack takes 150 characters there, and the action_id has the rest. Not
// ok: it is too long for Slack.
func (b Button) MenuID() (id string, ok bool) {
	b.Does = ""
	id = menuPrefix + b.Value()
	return id, utf8.RuneCountInString(id) <= maxActionID
}

// Value returns Slack's value of the button: all that ParseButton needs.
func (b Button) Value() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // texts and numbers can be encoded
	}
	return string(text)
}

// IsButton reports whether an action_id is that of a button of Pipesteward, or of a menu.
func IsButton(actionID string) bool { return strings.HasPrefix(actionID, actionPrefix) }

// ParseButton returns the button, or the option of a menu, of an action_id and a value. The
// error says why it is none.
func ParseButton(actionID, value string) (Button, error) {
	if len(value) > maxValue {
		return Button{}, fmt.Errorf("the value of the button is longer than %d bytes", maxValue)
	}
	menu, isMenu := strings.CutPrefix(actionID, menuPrefix)
	if !isMenu {
		menu = value
	}
	d := json.NewDecoder(strings.NewReader(menu))
	d.DisallowUnknownFields()
	var b Button
	if err := d.Decode(&b); err != nil {
		return Button{}, errors.New("the value of the button is not one that Pipesteward gives")
	}
	if isMenu {
		b.Does = value
	}
	_, err := d.Token()
	switch {
	case !errors.Is(err, io.EOF), b.Job < 0:
		return Button{}, errors.New("the value of the button is not one that Pipesteward gives")
	case !slices.Contains(everyButton, b.Does):
		return Button{}, errors.New("no button of this version of Pipesteward does that")
	case b.Of == "":
		return Button{}, errors.New("the value of the button names no decision")
	}
	return b, nil
}
