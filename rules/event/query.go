package event

import "time"

// DecisionQuery selects decisions. What is zero stands for any.
type DecisionQuery struct {
	Rule     string // that wants the decision, alone or with others
	Verb     string
	Result   string
	Waiting  bool   // only decisions without a result
	Project  string // a glob of paths, or an id
	Pipeline int64
	Job      int64
	Ref      string
	Text     string // in one of the texts that people know a decision by, in any letter case
	Since    time.Time
	Limit    int    // how many decisions, at least 1
	Cursor   string // the next of the page before; "": the newest
}
