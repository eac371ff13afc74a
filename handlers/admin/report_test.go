package admin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/report"
	reportpage "github.com/pipesteward/pipesteward/actions/report/page"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// reports makes reports of the rig's journal.
type reports struct{ *adminRig }

var _ admin.Reporter = reports{}

func (r reports) Report(ctx context.Context, q admin.ReportQuery) (any, error) {
	read := report.Reader{Journal: r.store, Deliveries: r.deliveries, Now: func() time.Time { return now }, Prices: func() rules.Prices { return rules.Prices{} }, MaxEntries: report.DefaultMaxEntries, Kept: store.DefaultJournalTTL}
	return read.Report(ctx, report.Query(q))
}

func (r reports) Page(ctx context.Context, q admin.ReportQuery) (any, error) {
	sums, err := r.Report(ctx, q)
	if err != nil {
		return nil, err
	}
	return reportpage.Of(sums.(report.Report))
}

// TestReport: the parameters select what is summed; what can't be meant is refused.
func TestReport(t *testing.T) {
	t.Parallel()
	r := newAdminRig(t)
	r.store.note(outcome(40))
	r.store.journal[0].At = now.Add(-200 * time.Hour) // before the default span
	for i := range 40 {
		o := outcome(i)
		if i%5 == 0 {
			o.Result, o.Action.Verb = event.ResultDryRun, event.VerbRetry
		}
		r.store.note(o)
		r.store.journal[0].At = now.Add(time.Duration(i-50) * time.Hour)
	}
	for _, test := range []struct {
		query     string
		code      int
		decisions int
		says      string
	}{
		{query: "", code: http.StatusOK, decisions: 40},
		{query: "?since=2020-01-01T00:00:00Z", code: http.StatusOK, decisions: 41, says: `"since":"2026-02-02T12:00:00Z"`},
		{query: "?since=21h", code: http.StatusOK, decisions: 11},
		{query: "?since=2019-01-01T00:00:00Z&rule=rule-1", code: http.StatusOK, decisions: 8, says: `"covers"`},
		{query: "?project=platform/p3&since=7d", code: http.StatusOK, decisions: 6},
		{query: "?project=203", code: http.StatusOK, decisions: 6},
		{query: "?dry_run=true", code: http.StatusOK, decisions: 8, says: `"would_retry":{"retries":8,"passed_anyway":0}`},
		{query: "?dry_run=false", code: http.StatusOK, decisions: 40},
		{query: "?dry_run=yes", code: http.StatusBadRequest, says: "true, false"},
		{query: "?since=yesterday", code: http.StatusBadRequest, says: "a duration like 2h or 7d"},
		{query: "?since=2999-01-01T00:00:00Z", code: http.StatusBadRequest, says: "is in the future"},
		{query: "?project=[", code: http.StatusBadRequest, says: "project"},
		{query: "?outcome=done", code: http.StatusBadRequest, says: "there are since, rule, project, dry_run"},
	} {
		code, answer := r.get(t, "/api/v1/report"+test.query)
		var got report.Report
		if code != test.code || !strings.Contains(answer, test.says) {
			t.Errorf("%s is answered %d %s, want %d with %q", test.query, code, answer, test.code, test.says)
		} else if err := json.Unmarshal([]byte(answer), &got); err != nil || got.Total.Decisions() != test.decisions {
			t.Errorf("%s: %d decisions, want %d: %v", test.query, got.Total.Decisions(), test.decisions, err)
		}
	}
	if code, answer := r.get(t, "/api/v1/report/page?since=21h"); code != http.StatusOK || !strings.Contains(answer, `"title":"Pipesteward: retries since 2026-03-03"`) || !strings.Contains(answer, `"name":"rule-1"`) {
		t.Errorf("the page of the report is %d %s", code, answer)
	}
	r.store.err = context.DeadlineExceeded
	if code, answer := r.get(t, "/api/v1/report"); code != http.StatusServiceUnavailable || !strings.Contains(answer, "give a later parameter") {
		t.Errorf("a report that takes too long is answered %d %s", code, answer)
	}
}
