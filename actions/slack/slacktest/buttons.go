package slacktest

import (
	"encoding/json"
	"unicode/utf8"
)

// Slack's limits on buttons and menus, by its reference of Block Kit: in characters, elements
// in a block of actions, and options in an overflow menu.
const (
	maxElements    = 25
	maxButtonText  = 75
	maxActionID    = 255
	maxButtonValue = 2000
	minOptions     = 2
	maxOptions     = 5
	maxOptionText  = 75
	maxOptionValue = 150
	maxDialogTitle = 100
	maxDialogText  = 300
	maxDialogLabel = 30
)

// Button is a button of a message, or an option of an overflow menu.
type Button struct {
	Text     string
	ActionID string
	Value    string
	Style    string
	Dialog   string // the title of the dialog that it opens first; "": it opens none
	Menu     bool   // it is an option
}

// element is an element of a block: a text of a context, or a button or an overflow menu of
// actions. The text of a button is an object.
type element struct {
	Text     json.RawMessage `json:"text"`
	Type     string          `json:"type"`
	ActionID string          `json:"action_id"`
	Value    string          `json:"value"`
	Style    string          `json:"style"`
	Options  []option        `json:"options"`
	Confirm  *struct {
		Title, Text, Confirm, Deny textObject
	} `json:"confirm"`
}

type textObject struct{ Type, Text string }

// option is an option of an overflow menu.
type option struct {
	Text  textObject `json:"text"`
	Value string     `json:"value"`
}

// Buttons lists the buttons of the message in display order.
func (m Message) Buttons() (all []Button) {
	var blocks []block
	if json.Unmarshal(m.Blocks, &blocks) != nil {
		return nil
	}
	for _, b := range blocks {
		all = append(all, b.buttons()...)
	}
	return all
}

// buttons lists the buttons and options of a block of actions; other blocks have none.
func (b block) buttons() (all []Button) {
	if b.Type != "actions" {
		return nil
	}
	for _, e := range b.Elements {
		for _, o := range e.Options {
			all = append(all, Button{Text: o.Text.Text, ActionID: e.ActionID, Value: o.Value, Menu: true})
		}
		if e.Type != "button" {
			continue
		}
		button := Button{Text: e.label().Text, ActionID: e.ActionID, Value: e.Value, Style: e.Style}
		if e.Confirm != nil {
			button.Dialog = e.Confirm.Title.Text
		}
		all = append(all, button)
	}
	return all
}

// said returns the text of an element of a context.
func (e element) said() (text string) {
	_ = json.Unmarshal(e.Text, &text) // "" for an element that is no text
	return text
}

// label returns the text of a button.
func (e element) label() (text textObject) {
	_ = json.Unmarshal(e.Text, &text) // which checks find
	return text
}

// validActions reports whether Slack accepts all blocks of actions of a message.
func validActions(blocks []block) bool {
	seen := map[string]bool{}
	for _, b := range blocks {
		if b.Type != "actions" {
			continue
		}
		if len(b.Elements) == 0 || len(b.Elements) > maxElements {
			return false
		}
		for _, e := range b.Elements {
			if seen[e.ActionID] || !e.validButton() && !e.validMenu() {
				return false
			}
			seen[e.ActionID] = true
		}
	}
	return true
}

func (e element) validButton() bool {
	style := e.Style == "" || e.Style == "primary" || e.Style == "danger"
	valid := e.Type == "button" && style && e.Options == nil && e.label().within(maxButtonText) && e.label().Type == "plain_text" &&
		e.ActionID != "" && utf8.RuneCountInString(e.ActionID) <= maxActionID && utf8.RuneCountInString(e.Value) <= maxButtonValue
	return valid && e.validDialog()
}

// validMenu reports whether Slack accepts an overflow menu, which has neither a text nor a
// value of its own.
func (e element) validMenu() bool {
	values := map[string]bool{}
	for _, o := range e.Options {
		values[o.Value] = true
		if !o.Text.within(maxOptionText) || o.Text.Type != "plain_text" || o.Value == "" || utf8.RuneCountInString(o.Value) > maxOptionValue {
			return false
		}
	}
	return e.Type == "overflow" && e.Text == nil && e.Value == "" && e.Style == "" && e.ActionID != "" && utf8.RuneCountInString(e.ActionID) <= maxActionID &&
		len(e.Options) >= minOptions && len(e.Options) <= maxOptions && len(values) == len(e.Options) && e.validDialog()
}

// validDialog reports whether Slack accepts the dialog that the element opens, if it does.
func (e element) validDialog() bool {
	return e.Confirm == nil || e.Confirm.Title.within(maxDialogTitle) && e.Confirm.Text.within(maxDialogText) &&
		e.Confirm.Confirm.within(maxDialogLabel) && e.Confirm.Deny.within(maxDialogLabel)
}

func (t textObject) within(most int) bool {
	n := utf8.RuneCountInString(t.Text)
	return n > 0 && n <= most
}
