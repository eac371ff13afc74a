package event

import "time"

// Turns of a state: people are notified of each.
const (
	StateBegan    = "began"    // it turned true
	StateResolved = "resolved" // it turned false again
)

// StateTurns lists the turns of states.
var StateTurns = []string{StateBegan, StateResolved}

// Together is the message that a notice is in with others, of an entry of a rule's `notify`
// with `together`.
type Together struct {
	Entry   string `json:"entry"`         // identifies the entry in its rule
	Subject string `json:"subject"`       // of the message
	Refs    int    `json:"refs,omitzero"` // of how many branches, tags and merge requests it is; 0: not known yet
}

// State is what an event says of the state in an entry of a rule's `notify`, and what came
// of that.
type State struct {
	Entry string `json:"entry"` // identifies the entry in its rule
	If    string `json:"if"`    // the expression
	Value bool   `json:"value"` // of the expression

	// What came of it is known when the outcome's notices are queued:

	Turn    string    `json:"turn,omitzero"`    // one of the turns above; "": nobody is notified
	Since   time.Time `json:"since,omitzero"`   // since when the state has its value
	Before  time.Time `json:"before,omitzero"`  // of StateResolved: since when it was true
	Late    bool      `json:"late,omitzero"`    // the event is older than the last one that set the state, and changes nothing
	To      Address   `json:"to,omitzero"`      // of StateResolved: where StateBegan went
	Subject string    `json:"subject,omitzero"` // of the messages about it
}
