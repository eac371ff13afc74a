package catchup

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/store/keys"
)

// rulesSince is since when each rule is in force on all replicas, by its
// identity; zero: as long as catch-up has recorded rules.
type rulesSince map[string]time.Time

// first returns since when the first of them is.
func (s rulesSince) first() (first time.Time) {
	for _, since := range s {
		if first.IsZero() || since.Before(first) {
			first = since
		}
		if since.IsZero() {
			return since
		}
	}
	return first
}

// after returns the rules that came into force after a time.
func (s rulesSince) after(at time.Time) []string {
	var newer []string
	for identity, since := range s {
		if since.After(at) {
			newer = append(newer, identity)
		}
	}
	slices.Sort(newer)
	return newer
}

// rulesInForce is the record of them.
type rulesInForce struct {
	Rules rulesSince `json:"rules"`
}

// rulesSince returns since when the rules are in force. Events from before were
// evaluated by other rules, or by none, and are not evaluated again. A rule that
// comes back after it was away counts as new. Only serve records its rules; those
// of the command are compared with the record.
func (f *Finder) rulesSince(ctx context.Context, onDemand bool) (rulesSince, error) {
	key := keys.RulesInForce(f.GitLab.Instance())
	value, err := f.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	var before rulesInForce
	first := len(value) == 0 || json.Unmarshal(value, &before) != nil || before.Rules == nil
	now := rulesInForce{rulesSince{}}
	for _, identity := range f.Rules().Identities() {
		var since time.Time
		if f.RuleSince != nil {
			since = f.RuleSince(identity)
		}
		switch recorded, known := before.Rules[identity]; {
		case known || first:
			since = later(recorded, since)
		case since.IsZero():
			since = f.Now()
		}
		now.Rules[identity] = since.UTC()
	}
	if onDemand {
		return now.Rules, nil
	}
	return now.Rules, f.keepJSON(ctx, key, now)
}
