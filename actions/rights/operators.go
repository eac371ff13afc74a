package rights

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// operatorsFor is how long the members of the operators' groups are remembered: who was
// removed may do nothing after that.
const operatorsFor = 2 * time.Minute

// operators are the members of the operators' groups.
type operators struct {
	Config
	mu      sync.Mutex
	members []string // ids of users
	until   time.Time
}

// orJoin is the end of a refusal that says which groups would permit everything; "" without
// any.
func (o *operators) orJoin() string {
	if len(o.Operators) == 0 {
		return ""
	}
	return "; or join a user group of operators in Slack (" + strings.Join(o.Operators, ", ") + ")"
}

// include reports whether a user is an operator. An error is about a group that could not
// be read, if the user is in none of the others.
func (o *operators) include(ctx context.Context, user string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.Now(); !now.Before(o.until) || o.until.Sub(now) > operatorsFor { // a clock may be set back
		members, err := o.read(ctx)
		if err != nil { // nothing is remembered: it may be mended soon
			return slices.Contains(members, user), err
		}
		o.members, o.until = members, now.Add(operatorsFor)
	}
	return slices.Contains(o.members, user), nil
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
