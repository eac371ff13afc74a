package event

// Explanation records why a rule's condition was true or false for an event.
type Explanation struct {
	If        Part     `json:"if,omitzero"`     // zero: the rule has no condition
	Requested []string `json:"asked,omitempty"` // functions whose results were requested from GitLab, like log()
}

// Part is a condition, or an operand of an `and`, an `or` or a `not` in it.
type Part struct {
	Text     string `json:"text"`
	Operator string `json:"operator,omitzero"` // and, or, not; "" if the part has no operands
	Parts    []Part `json:"parts,omitempty"`
	Result   string `json:"result"`           // true, false, error or not_reached
	Decided  bool   `json:"decided,omitzero"` // without this part, the result of the condition might differ
	Seen     []Seen `json:"seen,omitempty"`   // values that the part read
	Error    string `json:"error,omitzero"`   // the error of the part that failed
}

// Results of a Part.
const (
	PartTrue       = "true"
	PartFalse      = "false"
	PartError      = "error"
	PartNotReached = "not_reached" // the parts before it determined the result
)

// Seen is a value that a condition read, formatted for people.
type Seen struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}
