package hooks

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Listed keeps the webhooks as they were read last, by whichever replica: in a round of a
// Keeper, or because a person requested it.
type Listed = background.Task[List]

// maxListed is how many projects and groups a List has.
const maxListed = 1000

// List is what was seen of the webhooks. It has those that are wrong first.
type List struct {
	Result
	More    int  `json:"more,omitzero"`    // projects and groups that are left out
	Ensured bool `json:"ensured,omitzero"` // what was wrong was also repaired, as far as that may be done
}

// newList returns the list of what was found by work that has ended with an error, and of what
// the last list has of those that it did not reach. Those that are in order are left out first.
func newList(found Result, ensured bool, err error, last List) List {
	l := List{Result: found, Ensured: ensured}
	if err != nil {
		l.Reports = slices.Concat(found.Reports, slices.DeleteFunc(slices.Clone(last.Reports), func(before Report) bool {
			return slices.ContainsFunc(found.Reports, func(r Report) bool { return r.Owner == before.Owner && r.Kind == before.Kind })
		}))
	}
	rank := func(r Report) int {
		if r.IsWrong() {
			return 0
		}
		return 1
	}
	l.Reports = slices.SortedStableFunc(slices.Values(l.Reports), func(a, b Report) int { return cmp.Compare(rank(a), rank(b)) })
	l.More = max(len(l.Reports)-maxListed, 0)
	l.Reports = l.Reports[:len(l.Reports)-l.More]
	return l
}

// Look returns the work of reading the webhooks that a Keeper with the configuration looks
// at. It changes none.
func (c *KeeperConfig) Look() background.Work[List] {
	return func(ctx context.Context, last List, progress func(done, of int)) (List, error) {
		wanted := c.Wanted
		entries, err := c.entries(ctx, &wanted)
		if err != nil {
			return last, err
		}
		e := Ensurer{GitLab: c.GitLab, Wanted: wanted, EveryDelivery: true, Resolve: c.Resolve, Now: c.Now, Progress: func(read, of int, _ string) { progress(read, of) }}
		found, err := e.Run(ctx, entries)
		return newList(found, false, err, last), err
	}
}

// Ensure returns the work of a round, which is held to dry run and pauses as each round is.
func (k *Keeper) Ensure() background.Work[List] {
	return func(ctx context.Context, last List, _ func(done, of int)) (List, error) {
		found, err := k.Round(ctx)
		if errors.Is(err, ErrRunning) {
			return last, err
		}
		return newList(found, true, err, last), err
	}
}

// listedRound makes a round, and keeps what it saw unless a person has just requested that.
func (k *Keeper) listedRound(ctx context.Context) error {
	err := k.Listed.Do(ctx, k.Ensure())
	if _, busy := errors.AsType[*event.StateError](err); busy {
		_, err = k.Round(ctx)
	}
	return err
}
