package rules

import "github.com/pipesteward/pipesteward/rules/event"

// defaultWhen are the outcomes worth a message where a rule does not say:
// all but skipped and deferred.
var defaultWhen = []string{event.ResultDone, event.ResultDryRun, event.ResultFailed, event.ResultGaveUp, event.ResultRecovered}
