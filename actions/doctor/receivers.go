package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/receivers"
)

// checkReceivers tells which receivers of the rule files can't be used: a file with a
// secret can't be read, or what is in it is no address or no key. It sends nothing, so that
// it can't tell whether a receiver takes messages.
func checkReceivers(_ context.Context, x *exam) []Finding {
	if x.Rules == nil {
		return notChecked(errNoRules)
	}
	if len(x.Rules.Receivers()) == 0 {
		return ok("the rule files have none")
	}
	var found []Finding
	for _, d := range x.Rules.Receivers() {
		if _, err := receivers.New(d, receivers.Config{Now: x.Now}); err != nil {
			found = append(found, one(Problem, strings.ReplaceAll(err.Error(), "\n", "; "), "correct the setting in `receivers`, or the file, so that this machine can read it")...)
			continue
		}
		found = append(found, ok(fmt.Sprintf("%s: its settings and the files of its secrets can be used; nothing was sent", d))...)
	}
	return found
}
