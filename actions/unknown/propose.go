package unknown

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

//go:embed proposal.tmpl
var proposalText string

// quoted writes a text as a YAML scalar in single quotes, on one line.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

var proposal = template.Must(template.New("").Funcs(template.FuncMap{"quoted": quoted}).Parse(proposalText))

// Logs are logs of jobs that passed.
type Logs interface {
	// Each calls visit with each log, until visit returns an error, which it returns.
	Each(visit func(name, log string) error) error
}

// Proposal is a failure class for a cluster, with a rule that retries it and a test of that
// rule.
type Proposal struct {
	Class   string
	Rules   string // a rule file
	Test    string // a file of rule tests for it
	Logs    int    // of jobs that passed, which the class was tried on
	Matched []string
}

// Propose returns the proposal for a cluster, tried on the logs of jobs that passed.
func Propose(c Cluster, passing Logs) (Proposal, error) {
	re, err := regexp.Compile(c.Pattern)
	if err != nil {
		return Proposal{}, fmt.Errorf("the pattern of cluster %s can't be used: %w", c.ID, err)
	}
	p := Proposal{Class: className(c)}
	err = passing.Each(func(name, log string) error {
		p.Logs++
		if re.MatchString(redact.Secrets(joblog.Clean(log))) {
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
