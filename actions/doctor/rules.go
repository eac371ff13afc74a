package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize/english"
)

// checkRulesLoad tells whether the rule files can be used, as `serve` would.
func checkRulesLoad(_ context.Context, x *exam) []Finding {
	switch {
	case x.RulesErr != nil && x.RulesUnread:
		return one(Problem, oneLine(x.RulesErr), "give the rule file of `serve`, or its directory of them, as --rules, and let doctor read it")
	case x.RulesErr != nil:
		return one(Problem, firstLine(x.RulesErr), "`pipesteward check` shows all mistakes, with what to write instead")
	case x.Rules == nil:
		return nil
	case x.Warnings > 0:
		return one(Warning, fmt.Sprintf("%s, and %s about them", english.Plural(x.Rules.Len(), "rule", ""), english.Plural(x.Warnings, "warning", "")), "`pipesteward check` shows them")
	case x.Rules.Len() == 0:
		return one(Warning, "there is no rule: nothing will be done", "rules.example.yaml is a file to begin with")
	}
	dry := 0
	for _, r := range x.Rules.All() {
		if r.DryRun || x.DryRun {
			dry++
		}
	}
	seen := english.Plural(x.Rules.Len(), "rule", "")
	if dry > 0 {
		return one(Note, fmt.Sprintf("%s, %d of them in dry run", seen, dry), "")
	}
	return ok(seen)
}

const (
	// minSecret is the least length of a secret token, in characters.
	minSecret = 16
	// minDifferent is how many different characters it has at least.
	minDifferent = 8
)

// checkWebhookSecret tells whether deliveries are authenticated by something that can't
// be guessed.
func checkWebhookSecret(_ context.Context, x *exam) []Finding {
	tokens, keys := len(x.WebhookTokens), len(x.SigningTokens)
	switch {
	case x.WebhookErr != nil:
		return one(Problem, oneLine(x.WebhookErr)+"; `serve` does not start", "")
	case x.Insecure:
		return one(Warning, "deliveries are taken from anybody (--insecure-no-webhook-auth)", "give --webhook-token, and the same in the webhook's settings")
	}
	var found []Finding
	for i, token := range x.WebhookTokens {
		if isWeak(token) {
			found = append(found, one(Warning, fmt.Sprintf("webhook token %d can be guessed: it is short, or of few different characters", i+1),
				"make another one with `openssl rand -hex 32`; two at a time make a change without a gap")...)
		}
	}
	if len(found) == 0 {
		var kinds []string
		if tokens > 0 {
			kinds = append(kinds, english.Plural(tokens, "secret token", ""))
		}
		if keys > 0 {
			kinds = append(kinds, english.Plural(keys, "signing token", ""))
		}
		return ok(strings.Join(kinds, " and "))
	}
	return found
}

func isWeak(token string) bool {
	different := map[rune]bool{}
	for _, r := range token {
		different[r] = true
	}
	return len(token) < minSecret || len(different) < minDifferent
}
