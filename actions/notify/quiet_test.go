package notify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// quietRules are quiet from an hour ago to in two hours, by the clock of the tests.
func quietRules(h *actionstest.Harness, more string) string {
	at := func(d time.Duration) string { return h.Now().Add(d).UTC().Format("15:04") }
	quiet := `quiet: {from: "` + at(-time.Hour) + `", to: "` + at(2*time.Hour) + `", except: [gave_up]}`
	return strings.NewReplacer(`{channel: "#ci"}`, `{channel: "#ci", `+quiet+more+`}`).Replace(actionstest.RetryRules)
}

// TestNoticesWaitInQuietHours: the action is done at once, its notice is sent when the quiet
// hours end, also after a crash; notices of excepted outcomes do not wait.
func TestNoticesWaitInQuietHours(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	h.Load(quietRules(h, ""), rulefile.Options{})
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	pass(h, 10*time.Minute)
	if n := h.GitLab.Count("POST", "/retry"); n != 1 || len(h.Posts()) > 0 {
		t.Errorf("%d retries and %d posts in the quiet hours, want 1 and 0", n, len(h.Posts()))
	}
	records, _, err := h.DB.Records(t.Context(), "", 10)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v, want the notice", len(records), err)
	}
	if wait := steer.Describe(records[0].Kind, records[0].Body).Wait; wait.For != event.WaitQuiet {
		t.Errorf("the notice waits for %+v, want the end of the quiet hours", wait)
	}
	if left := records[0].Due.Sub(h.Now()); left < 100*time.Minute || left > 2*time.Hour {
		t.Errorf("the notice waits for %v, want the rest of the two hours", left)
	}
	h.Start(actionstest.NewFuse(-1))
	pass(h, 2*time.Hour)
	if posts := h.Posts(); len(posts) != 1 || h.Only().Notifications[0].Result != event.NotificationSent {
		t.Errorf("posts after the quiet hours: %q, want one", posts)
	}
}

// TestQuietHoursExcept: a notice of an outcome that is excepted is sent at once.
func TestQuietHoursExcept(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	h.Load(strings.Replace(quietRules(h, ""), "max_attempts: 3", "max_attempts: 1", 1), rulefile.Options{})
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	pass(h, 10*time.Minute)
	if posts := h.Posts(); len(posts) != 1 || h.Only().Result != event.ResultGaveUp {
		t.Errorf("posts in the quiet hours: %q, want one", posts)
	}
}
