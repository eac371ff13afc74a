package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Together is the key in an entry of `notify`: its notices with the same key, in a project,
// are one message.
type Together struct {
	Source string
	Key    *expression.Template
}

// togetherID identifies an entry whose notices of one key are one message in its rule,
// whatever its text is and wherever it stands; "" for any other entry.
func (n Notify) togetherID() string {
	if n.Together == nil {
		return ""
	}
	return hash(n.Channel.Source, n.Together.Source)
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// together returns the messages that the notices of a rule that matched belong to.
func (ev *evaluation) together(r *Rule) ([]event.Together, *RuleError) {
	var all []event.Together
	for _, n := range r.Notify {
		if n.Together == nil {
			continue
		}
		key, err := ev.Text(*n.Together.Key, strings.Clone)
		if err != nil {
			return nil, &RuleError{r.Name, "together", err}
		}
		id, e := n.togetherID(), ev.Event
		subject := "together:" + hash(r.Name, id, e.Meta.Instance, strconv.FormatInt(e.Project.ID, 10), key)
		all = append(all, event.Together{Entry: id, Subject: subject})
	}
	return all, nil
}

// togetherOf returns the message that the entry's notice of the outcome belongs to; zero if
// it has one of its own.
func (n Notify) togetherOf(o event.Outcome) event.Together {
	id := n.togetherID()
	i := slices.IndexFunc(o.Together, func(t event.Together) bool { return id != "" && t.Entry == id })
	if i < 0 {
		return event.Together{}
	}
	return o.Together[i]
}
