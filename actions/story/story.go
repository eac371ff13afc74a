// Package story tells what happened to a job or a pipeline, and why: which
// deliveries came, what the rules made of each event, what was decided, what deferred
// or stopped it, what was sent to GitLab with which answer, which runs followed, who
// was notified, and what GitLab says now.
//
//	story.go      the story, as the API and the command have it
//	gather.go     reads what the store and GitLab have; each part may be missing
//	journal.go    the decisions among it
//	standing.go   what awaits those that wait, and why nobody was notified
//	verdicts.go   what each rule made of an event, explained by the rules in force
//	timeline.go   orders it by time
//	answer.go     says in one line why
//	notes.go      says what else a person should know
//
// Words are those of package words: the answer, the notes and the verdicts in the language that
// the story is made in, the rest in English.
package story

import (
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Story is the story of a job or a pipeline.
type Story struct {
	URL      string   `json:"url"`
	Project  string   `json:"project"`
	Job      Subject  `json:"job,omitzero"` // zero: the story is that of a pipeline
	Pipeline Subject  `json:"pipeline,omitzero"`
	Verdict  Answer   `json:"verdict"`
	Answer   string   `json:"answer"`             // the verdict in one line
	Notes    []string `json:"notes,omitempty"`    // what else a person should know; after a newline, the command for it
	Next     []string `json:"next,omitempty"`     // what to check or to do, likewise
	Timeline []Item   `json:"timeline"`           // oldest first
	Rules    []Rule   `json:"rules,omitempty"`    // what the rules made of the last event, those that matter most first
	Of       string   `json:"rules_of,omitzero"`  // that event
	Problems []string `json:"problems,omitempty"` // what could not be read, and why
}

// Subject is a job or a pipeline as GitLab has it now or, where GitLab does not say,
// as its last event had it.
type Subject struct {
	ID            int64     `json:"id"`
	Name          string    `json:"name,omitzero"`
	Status        string    `json:"status,omitzero"`
	FailureReason string    `json:"failure_reason,omitzero"`
	Ref           string    `json:"ref,omitzero"`
	URL           string    `json:"url,omitzero"`
	CreatedAt     time.Time `json:"created_at,omitzero"`
	FinishedAt    time.Time `json:"finished_at,omitzero"`
}

// Answer is a verdict for programs.
type Answer string

// The answers, from nothing known to all done.
const (
	NoEvent     Answer = "no_event"     // no delivery and no evaluation is known
	Refused     Answer = "refused"      // deliveries were refused
	Ignored     Answer = "ignored"      // no rule can want the event
	Forgotten   Answer = "forgotten"    // it came, and what was made of it is not kept any more
	Queued      Answer = "queued"       // it came and is not evaluated yet
	Dropped     Answer = "dropped"      // the event was not evaluated
	Dead        Answer = "dead"         // a record was buried
	NoRule      Answer = "no_rule"      // rules were evaluated, and none matched
	Stopped     Answer = "stopped"      // a rule with `stop` matched before
	RuleFailed  Answer = "rule_failed"  // an expression failed
	RuleWaits   Answer = "rule_waits"   // an expression is evaluated again later
	Waiting     Answer = "waiting"      // a decision is not due yet
	Deferred    Answer = "deferred"     // a guard deferred it
	Skipped     Answer = "skipped"      // a guard ended it
	DryRun      Answer = "dry_run"      // nothing is changed
	Failed      Answer = "failed"       // GitLab refused, or could not be used
	GaveUp      Answer = "gave_up"      // the attempts are used up
	Done        Answer = "done"         // the action was carried out
	Recovered   Answer = "recovered"    // … and the job passed
	FailedAgain Answer = "failed_again" // … and it failed again
)

// Kinds of items.
const (
	KindRun          = "run"
	KindDelivery     = "delivery"
	KindEvaluation   = "evaluation"
	KindDropped      = "dropped"
	KindDecision     = "decision"
	KindDeferral     = "deferral"
	KindCall         = "call"
	KindOutcome      = "outcome"
	KindState        = "state"
	KindNotification = "notification"
	KindDead         = "dead"
)

// Item is something that happened. Of the fields after Text, it has that of its kind;
// a run and an outcome have none.
type Item struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Text   string    `json:"text"`
	Failed bool      `json:"failed,omitzero"` // it is, or may be, why something was not done
	Minor  bool      `json:"minor,omitzero"`  // it led to nothing, as was to be expected

	Rule     string `json:"rule,omitzero"`
	Decision string `json:"decision,omitzero"` // the id in /api/v1/decisions
	Result   string `json:"result,omitzero"`   // of a delivery or an outcome
	Reason   string `json:"reason,omitzero"`
	Job      int64  `json:"job,omitzero"` // that it is about, of the story of a pipeline; of a run: itself

	Deferral     *event.Deferral     `json:"deferral,omitempty"`
	Call         *event.Call         `json:"call,omitempty"`
	Notification *event.Notification `json:"notification,omitempty"`
	State        *event.State        `json:"state,omitempty"`
}

// Rule is what one rule made of an event.
type Rule struct {
	Rule   string `json:"rule"`
	File   string `json:"file,omitzero"`
	Line   int    `json:"line,omitzero"`
	Result string `json:"result"` // as that of rules.Verdict or rules.Step
	Text   string `json:"text"`
	// Explanation has each part of the condition, with its value. It is zero where the
	// rules have changed since, or GitLab's answers, of which the condition depends.
	Explanation event.Explanation `json:"explanation,omitzero"`

	acts bool // the rule has an action that might have been expected
}

// MissingError says that GitLab has no such job or pipeline, and that nothing is known
// of one.
type MissingError struct {
	Page   gitlab.Page
	reason string
}

func (e *MissingError) Error() string { return e.reason }

// Missing says that what was asked for does not exist.
func (*MissingError) Missing() bool { return true }
