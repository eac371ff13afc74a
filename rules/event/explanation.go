package event

// Explanation says why a rule's condition came out as it did on an event.
type Explanation struct {
	If    Part     `json:"if,omitzero"`     // zero: the rule has no condition
	Asked []string `json:"asked,omitempty"` // functions whose answers GitLab gave, like log()
}

// Part is a condition or a part of it: of an `and`, an `or` or a `not`.
type Part struct {
	Text     string `json:"text"`
	Operator string `json:"operator,omitzero"` // and, or, not; "" for what has no parts
	Parts    []Part `json:"parts,omitempty"`
	Result   string `json:"result"`           // true, false, error or not_reached
	Decided  bool   `json:"decided,omitzero"` // without it, the condition might have come out otherwise
	Seen     []Seen `json:"seen,omitempty"`   // what it looked at
	Error    string `json:"error,omitzero"`   // of the part that failed
}

// Results of a Part.
const (
	PartTrue       = "true"
	PartFalse      = "false"
	PartError      = "error"
	PartNotReached = "not_reached" // what stands before it was enough
)

// Seen is a value that a condition looked at, as people read it.
type Seen struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}
