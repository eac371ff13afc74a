package rules

import (
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/templates"
)

// Rules is a loaded set of rules. It is immutable and safe for concurrent use.
type Rules struct {
	rules  []*Rule
	byName map[string]*Rule
	index  map[string]*ruleIndex // by event kind; only kinds with rules

	capacity *limits.Capacity

	limits  Limits
	storm   Storm
	learns  bool
	prices  Prices
	reports []Report
	classes *failureclass.Matcher
	// everyFailure is whether the log of each failed job is read.
	everyFailure bool

	receivers []receiver.Definition
	templates templates.Set
	language  string

	dryRun bool // of the process

	identities  []string // of the rules, in file order
	fingerprint string   // of the identities
	without     []string // identities of the rules that make no decisions

	retries        bool           // a rule retries jobs, or people may request that
	retryPipelines bool           // a rule for pipeline events retries
	ends           []event.Notice // see AtEnd
	bridges        bool           // a rule for job events reads whether a job is a trigger job
}

// Len returns the number of rules.
func (rs *Rules) Len() int { return len(rs.rules) }

// Set is the content of rule files, read and checked.
type Set struct {
	Rules   []*Rule // in file order; names are unique
	Limits  Limits
	Storm   Storm
	Learns  bool // the results of retries are remembered
	Prices  Prices
	Reports []Report // names are unique
	Classes failureclass.List
	// EveryFailure means that the log of each failed job is read, whether or not a rule reads
	// it: see Trace.Unclassified.
	EveryFailure bool
	// Receivers are those besides Slack; names are unique.
	Receivers []receiver.Definition
	DryRun    bool             // of the process: each rule is in dry run, and what people request, too
	Requests  bool             // people may request decisions, too
	Templates templates.Set    // in place of the default texts
	Language  string           // of the answers to people's commands, of event.Languages; "": English
	Capacity  *limits.Capacity // limits the evaluations of all Rules that share it; nil: each evaluation is limited, but not their number
}

// New returns the rules of a set, which must not change afterwards.
func New(set Set) *Rules {
	rs := &Rules{
		capacity: set.Capacity, limits: set.Limits, storm: set.Storm, prices: set.Prices, reports: set.Reports, classes: failureclass.NewMatcher(set.Classes), receivers: set.Receivers, templates: set.Templates, language: set.Language, learns: set.Learns, everyFailure: set.EveryFailure,
		dryRun: set.DryRun, retries: set.Requests,
		byName: map[string]*Rule{}, index: map[string]*ruleIndex{},
	}
	for _, r := range set.Rules {
		rs.add(r)
	}
	for _, d := range set.Receivers {
		if receiver.AtEnd(d.Kind) {
			rs.ends = append(rs.ends, atEnd(d.Name, set.Rules)...)
		}
	}
	rs.fingerprint = fingerprint(rs.identities)
	return rs
}

func (rs *Rules) add(r *Rule) {
	rs.rules = append(rs.rules, r)
	rs.byName[r.Name] = r
	rs.identities = append(rs.identities, r.Identity)
	r.needsAttempt = r.dependsOnAttempt() || len(r.Notify) > 0 && slices.ContainsFunc(rs.templates.All(), (*expression.Template).ReadsAttempt)
	rs.retryPipelines = rs.retryPipelines || r.On == event.KindPipeline && slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb == event.VerbRetry || a.Verb == event.VerbRetryPipeline })
	rs.retries = rs.retries || slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb == event.VerbRetry })
	rs.bridges = rs.bridges || r.On == event.KindJob && r.mentions("job.bridge")
	if rs.index[r.On] == nil {
		rs.index[r.On] = &ruleIndex{statuses: texts{}}
	}
	rs.index[r.On].add(len(rs.rules)-1, r)
}

// atEnd returns a notice to a receiver as the first entry has it that notifies the receiver at
// the end of pipelines; none if no entry does.
func atEnd(receiver string, all []*Rule) []event.Notice {
	for _, r := range all {
		for _, n := range r.Notify {
			if n.Receiver == receiver && n.Group.Burst > 0 {
				return []event.Notice{{Address: event.Address{Receiver: receiver}, Language: n.Language, Group: n.Group}}
			}
		}
	}
	return nil
}

// AtEnd returns whom rules notify at the end of a pipeline: for each receiver a notice with
// its address, its language and how it is gathered. The slice is shared and must not be
// changed.
func (rs *Rules) AtEnd() []event.Notice { return rs.ends }

// Language returns the language of the answers to people's commands; "": English.
func (rs *Rules) Language() string { return rs.language }

// Rule returns the rule with a name; nil if there is none.
func (rs *Rules) Rule(name string) *Rule { return rs.byName[name] }

// All returns the rules in file order. The slice is shared and must not be changed.
func (rs *Rules) All() []*Rule { return rs.rules }

// Receivers returns the definitions of the receivers besides Slack, in file order. The
// slice is shared and must not be changed.
func (rs *Rules) Receivers() []receiver.Definition { return rs.receivers }

// ReadsEveryFailure reports whether the log of each failed job is read.
func (rs *Rules) ReadsEveryFailure() bool { return rs.everyFailure }

// Classes returns the names of all failure classes, those of Pipesteward and
// those of the rule files, sorted.
func (rs *Rules) Classes() []string {
	return slices.Sorted(slices.Values(slices.Concat(event.FailureClasses, rs.classes.Names())))
}
