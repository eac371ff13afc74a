package event

import "time"

// Asked says what became of the question whether a decision is to be carried out.
type Asked struct {
	At    time.Time `json:"at,omitzero"`    // when it was posted
	Error string    `json:"error,omitzero"` // why it can't be posted; "": it was
}

// Answer is the answer to that question. Zero: there is none.
type Answer struct {
	Confirmed bool      `json:"confirmed,omitzero"`
	Expired   bool      `json:"expired,omitzero"` // nobody has answered in time
	By        Requester `json:"by,omitzero"`
	At        time.Time `json:"at,omitzero"`
}

// Given reports whether there is an answer.
func (a Answer) Given() bool { return a != Answer{} }
