package notify

import (
	"context"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// togetherFor is how long a branch, tag or merge request counts in a message.
const togetherFor = 30 * 24 * time.Hour

// countTogether adds the outcome's branch, tag or merge request to the messages that its
// notices are in, and adds to the outcome how many each is of.
func (n *Notifier) countTogether(ctx context.Context, o *event.Outcome) error {
	o.Together = slices.Clone(o.Together)
	for i := range o.Together {
		t := &o.Together[i]
		count, err := n.Guard.Tally(ctx, keys.Together(t.Subject), store.Seen{ID: hash(event.RefOf(o.Event))}, togetherFor)
		if err != nil {
			return err
		}
		t.Refs = count.Members
	}
	return nil
}
