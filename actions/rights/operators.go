package rights

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// operatorsFor is how long the members of the operators' groups are remembered: who was
	// removed may do nothing after that.
	operatorsFor = 2 * time.Minute
	// failureFor is how long it is remembered that a group could not be read.
	failureFor = 5 * time.Second
	// readFor bounds how long the groups are read, and how long a user is searched for.
	readFor = 20 * time.Second
)

// operators are the members of the operators' groups.
type operators struct {
	Config
	reading singleflight.Group
	mu      sync.Mutex
	known   members
}

// members are the users who were found in the operators' groups.
type members struct {
	ids   []string
	err   error // of a group that could not be read
	until time.Time
}

// include reports whether a user is an operator. An error is about a group that could not
// be read, if the user is in none of the others.
func (o *operators) include(ctx context.Context, user string) (bool, error) {
	known, err := o.current(ctx)
	if err != nil {
		return false, err
	}
	if slices.Contains(known.ids, user) {
		return true, nil
	}
	return false, known.err
}

// current returns the members that are remembered, or reads them: once for all who wait.
func (o *operators) current(ctx context.Context) (members, error) {
	if len(o.Operators) == 0 {
		return members{}, nil
	}
	o.mu.Lock()
	known := o.known
	o.mu.Unlock()
	if now := o.Now(); now.Before(known.until) && known.until.Sub(now) <= operatorsFor { // a clock may be set back
		return known, nil
	}
	return shared(ctx, &o.reading, "", func(ctx context.Context) (members, error) {
		ids, err := o.read(ctx)
		found := members{ids, err, o.Now().Add(operatorsFor)}
		if err != nil {
			found.until = o.Now().Add(failureFor)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.known = found
		return found, nil
	})
}

// read returns the members of all groups that can be read, and the error of one that can't.
func (o *operators) read(ctx context.Context) (members []string, failed error) {
	ids, missing, err := GroupIDs(ctx, o.Slack, o.Operators)
	if err != nil {
		failed = err
	} else if len(missing) > 0 {
		failed = fmt.Errorf("there is no user group %s in Slack, which --slack-operators names", strings.Join(missing, ", "))
	}
	for _, id := range ids {
		some, err := o.Slack.GroupMembers(ctx, id)
		if err != nil {
			failed = err
		}
		members = append(members, some...)
	}
	return members, failed
}

// GroupIDs returns the ids of the user groups that --slack-operators names, and which
// handles no group has. With an error, the ids are those that are named by id.
func GroupIDs(ctx context.Context, in Slack, names []string) (ids, missing []string, err error) {
	var byHandle map[string]string
	for _, name := range names {
		handle, isHandle := strings.CutPrefix(name, "@")
		if !isHandle {
			ids = append(ids, name)
			continue
		}
		if byHandle == nil && err == nil {
			byHandle, err = in.Groups(ctx)
		}
		switch id := byHandle[handle]; {
		case id != "":
			ids = append(ids, id)
		case err == nil:
			missing = append(missing, name)
		}
	}
	return ids, missing, err
}
