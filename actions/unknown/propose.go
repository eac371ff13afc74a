package unknown

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

//go:embed proposal.tmpl
var proposalText string

// quoted writes a text as a YAML scalar in single quotes, on one line.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

var proposal = template.Must(template.New("").Funcs(template.FuncMap{"quoted": quoted, "plural": plural}).Parse(proposalText))

// plural writes a number of things, as in: 1 retry, 2 retries.
func plural(n int, one string) string { return english.Plural(n, one, "") }

// Logs are logs of jobs that passed.
type Logs interface {
	// Each calls visit with each log, until visit returns an error, which it returns.
	Each(visit func(name, log string) error) error
}

// NoLogs are no logs.
type NoLogs struct{}

// Each implements Logs.
func (NoLogs) Each(func(name, log string) error) error { return nil }

// Proposal is a failure class for a cluster, with a rule that retries it and a test of that
// rule. It was tried on the logs of jobs that passed: those that ship with Pipesteward, none of
// which it matches, and others.
type Proposal struct {
	Class   string
	Rules   string   // a rule file
	Test    string   // a file of rule tests for it
	Shipped int      // logs that ship with Pipesteward
	Logs    int      // other logs
	Matched []string // names of other logs that the class matches
}

// GenericError says why there is no proposal for a cluster: a class would also be of other
// failures, or of jobs that passed. A wrong class is worse than none, because a rule retries
// whatever is of it.
type GenericError struct {
	Cluster Cluster
	Why     string
}

func (e *GenericError) Error() string {
	look := ""
	if len(e.Cluster.Jobs) > 0 {
		look = " at " + e.Cluster.Jobs[0].URL
	}
	return fmt.Sprintf("no class is proposed for the group %s, %q, because that says too little: %s. "+
		"Look%s for a line that only such failures have, and write a class with a pattern for that by hand; or have the script print why it failed", e.Cluster.ID, e.Cluster.Text, e.Why, look)
}

// Propose returns the proposal for a cluster, tried on the logs of jobs that passed. The error
// is a *GenericError if the cluster has fewer than two specific words, or if its pattern matches
// a log that ships with Pipesteward.
func Propose(c Cluster, passing Logs) (Proposal, error) {
	re, err := regexp.Compile(c.Pattern)
	if err != nil {
		return Proposal{}, fmt.Errorf("the pattern of cluster %s can't be used: %w", c.ID, err)
	}
	if words := specificWords(c.Text); len(words) < enough {
		left := "no word"
		if len(words) > 0 {
			left = fmt.Sprintf("only the word %q", words[0])
		}
		return Proposal{}, &GenericError{c, "without what differs from job to job and the words that most logs have, " + left + " is left"}
	}
	shipped, err := shippedLogs()
	if err != nil {
		return Proposal{}, err
	}
	for _, log := range shipped {
		if re.MatchString(log.Log) {
			return Proposal{}, &GenericError{c, fmt.Sprintf("the log of a job that passed has it, too: that of %q, which ships with Pipesteward", log.Name)}
		}
	}
	p := Proposal{Class: className(c), Shipped: len(shipped)}
	err = passing.Each(func(name, log string) error {
		p.Logs++
		if re.MatchString(asMatched(log)) {
			p.Matched = append(p.Matched, name)
		}
		return nil
	})
	if err != nil {
		return Proposal{}, err
	}
	for name, to := range map[string]*string{"rules": &p.Rules, "test": &p.Test} {
		var b strings.Builder
		if err := proposal.ExecuteTemplate(&b, name, struct {
			Cluster
			Proposal
			Reason string
		}{c, p, firstOr(c.Reasons, "script_failure")}); err != nil {
			return Proposal{}, err
		}
		*to = b.String()
	}
	return p, nil
}

// asMatched returns a log as rules match it with classes.
func asMatched(log string) string { return redact.Secrets(joblog.Clean(log)) }

// shippedLogs returns the logs that ship with Pipesteward, as rules match them with classes.
var shippedLogs = sync.OnceValues(func() ([]failureclass.PassingLog, error) {
	logs, err := failureclass.PassingLogs()
	logs = slices.Clone(logs)
	for i := range logs {
		logs[i].Log = asMatched(logs[i].Log)
	}
	return logs, err
})

func firstOr(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	return names[0]
}

// notInName matches what can't be in the name of a class.
var notInName = regexp.MustCompile(`[^a-z]+`)

// className returns a name for the class of a cluster: words that it has in common, and its
// id, so that two classes have different names.
func className(c Cluster) string {
	const most = 30 // bytes of the words; a name has at most 41
	name := ""
	for word := range strings.FieldsSeq(c.Text) {
		word = strings.Trim(notInName.ReplaceAllString(strings.ToLower(word), "-"), "-")
		if strings.Contains(word, "<") || word == "" || len(name)+len(word) >= most {
			continue
		}
		name += word + "-"
	}
	if name == "" {
		name = "failure-"
	}
	return name + c.ID
}
