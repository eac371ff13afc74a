package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/event"
)

// catchUps is the last round in memory.
type catchUps struct {
	last *event.CatchUp
	err  error
}

func (c *catchUps) Start(_ context.Context, requested event.CatchUp) (event.CatchUp, error) {
	if c.err != nil {
		return event.CatchUp{}, c.err
	}
	requested.ID, requested.Began = "round", now
	c.last = &requested
	return requested, nil
}

func (c *catchUps) Last(context.Context) (*event.CatchUp, error) { return c.last, c.err }

func TestCatchUp(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		err        error
		code       int
		says       string
		target     string // of the change; "": none is recorded
	}{
		{name: "without a body", code: http.StatusOK, says: `{"last":{"id":"round","began":"2026-03-04T12:00:00Z"},"every":"5m"}`, target: "what was missed"},
		{
			name: "a duration", body: `{"since":"24h","by":"ada","reason":"the proxy was down"}`, code: http.StatusOK,
			says: `"by":"ada","since":"2026-03-03T12:00:00Z"`, target: "since 2026-03-03T12:00:00Z",
		},
		{name: "a dry run", body: `{"since":"2026-03-04T11:00:00+01:00","dry_run":true}`, code: http.StatusOK, says: `"dry_run":true`, target: "since 2026-03-04T10:00:00Z, dry run"},
		{name: "the zero time", body: `{"since":"0001-01-01T00:00:00Z"}`, code: http.StatusBadRequest, says: `parameter \"since\": 0001-01-01T00:00:00Z is too long ago`},
		{name: "no duration", body: `{"since":"yesterday"}`, code: http.StatusBadRequest, says: `parameter \"since\": it must be a duration`},
		{name: "an unknown member", body: `{"projects":["a"]}`, code: http.StatusBadRequest, says: `unknown field`},
		{name: "more than a line", body: `{"by":"a\nb"}`, code: http.StatusBadRequest, says: `line breaks`},
		{name: "too long", body: `{"reason":"` + strings.Repeat("x", 501) + `"}`, code: http.StatusBadRequest, says: `more than 500 characters`},
		{
			name: "too far back", body: `{"since":"2d"}`, err: &event.RequestError{Reason: "is before then"}, code: http.StatusBadRequest,
			says: `parameter \"since\": 2d is before then`,
		},
		{name: "another round", err: &event.StateError{Reason: "one is under way"}, code: http.StatusConflict, says: "one is under way"},
		{name: "no store", err: errors.New("redis: secret"), code: http.StatusServiceUnavailable, says: "the store did not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newAdminRig(t)
			r.catchUps.err = tt.err
			code, answer := r.request(t, http.MethodPost, "/api/v1/catch-up", tt.body)
			if code != tt.code || !strings.Contains(answer, tt.says) {
				t.Errorf("%d %s, want %d with %s", code, answer, tt.code, tt.says)
			}
			var targets []string
			for _, change := range r.changes.all {
				if change.Action != event.ChangeCatchUp || change.From == "" {
					t.Errorf("change %+v", change)
				}
				targets = append(targets, change.Target)
			}
			if got := strings.Join(targets, ";"); got != tt.target {
				t.Errorf("changes of %q, want %q", got, tt.target)
			}
		})
	}
}

// TestLastCatchUp: what the last round has found is read by anybody who may read.
func TestLastCatchUp(t *testing.T) {
	r := newAdminRig(t)
	if code, answer := r.get(t, "/api/v1/catch-up"); code != http.StatusOK || strings.TrimSpace(answer) != `{"last":null,"every":"5m"}` {
		t.Errorf("without a round: %d %s", code, answer)
	}
	r.catchUps.last = &event.CatchUp{
		ID: "round", Began: now, Ended: now.Add(time.Minute), Error: "GitLab is away",
		Found: event.CatchUpFound{Projects: 2, Jobs: 1, Problems: []event.SweepProblem{{Project: "tools/gone", Reason: "404", Times: 1}}},
	}
	_, answer := r.get(t, "/api/v1/catch-up")
	want := `{"last":{"id":"round","began":"2026-03-04T12:00:00Z","ended":"2026-03-04T12:01:00Z","error":"GitLab is away",` +
		`"found":{"projects":2,"replayed":0,"unkept":0,"jobs":1,"pipelines":0,"problems":[{"project":"tools/gone","reason":"404","times":1}]}},"every":"5m"}`
	if diff := cmp.Diff(want, strings.TrimSpace(answer)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	r.catchUps.err = errors.New("away")
	if code, _ := r.get(t, "/api/v1/catch-up"); code != http.StatusServiceUnavailable {
		t.Errorf("without the store: %d", code)
	}
}
