package chatops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// actionPrefix begins the action_id of Pipesteward's buttons.
const actionPrefix = "pipesteward:"

// maxValue is Slack's limit on the value of a button, in characters.
const maxValue = 2000

// everyButton lists what buttons do.
var everyButton = []string{
	ButtonRetry, ButtonPlay, ButtonCancel, ButtonErase, ButtonMute, ButtonLog, ButtonWhy, ButtonConfirm, ButtonReject,
}

// ActionID returns Slack's action_id of the button. Those of a message differ if what the
// buttons do, or their jobs, differ.
func (b Button) ActionID() string { return fmt.Sprintf("%s%s:%d", actionPrefix, b.Does, b.Job) }

// Value returns Slack's value of the button, or of an option of an overflow menu: all that
// ParseButton needs.
func (b Button) Value() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // texts and numbers can be encoded
	}
	return string(text)
}

// IsButton reports whether an action_id is that of a button of Pipesteward, or of another
// element whose values are those of its buttons.
func IsButton(actionID string) bool { return strings.HasPrefix(actionID, actionPrefix) }

// ParseButton returns the button of a value. The error says why it is none.
func ParseButton(value string) (Button, error) {
	if len(value) > maxValue {
		return Button{}, fmt.Errorf("the value of the button is longer than %d bytes", maxValue)
	}
	d := json.NewDecoder(strings.NewReader(value))
	d.DisallowUnknownFields()
	var b Button
	if err := d.Decode(&b); err != nil {
		return Button{}, errors.New("the value of the button is not one that Pipesteward gives")
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
