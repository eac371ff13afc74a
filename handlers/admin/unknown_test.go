package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// unknowns lists one cluster, whose text says what was requested.
type unknowns struct{ err error }

var _ admin.UnknownLister = &unknowns{}

func (u *unknowns) Unknown(_ context.Context, since time.Time, project, id string) (admin.UnknownPage, error) {
	return admin.UnknownPage{NotRead: 7, Clusters: []unknown.Cluster{{
		Text: fmt.Sprintf("since %s of %q, %q", now.Sub(since).Round(time.Minute), project, id), First: now, Last: now,
		Reasons: []string{"script_failure"}, Jobs: []unknown.Job{{ID: 7}}, Names: []string{}, Projects: []string{}, Runners: []string{},
	}}}, u.err
}

func (u *unknowns) Propose(_ context.Context, id string) (*admin.Proposal, error) {
	switch id {
	case "3f2a":
		return &admin.Proposal{Class: "no-route-3f2a", Rules: "version: 1\n"}, u.err
	case "generic":
		return nil, &event.StateError{Reason: "it says too little"}
	default:
		return nil, u.err
	}
}

// TestProposal: of a group that there is, and that says enough.
func TestProposal(t *testing.T) {
	t.Parallel()
	r := newAdminRig(t)
	for _, test := range []struct {
		id   string
		code int
		says string
	}{
		{"3f2a", http.StatusOK, `"class":"no-route-3f2a"`},
		{"generic", http.StatusConflict, "too little"},
		{"none", http.StatusNotFound, "/api/v1/unknown lists them"},
	} {
		if code, answer := r.get(t, "/api/v1/unknown/"+test.id+"/proposal"); code != test.code || !strings.Contains(answer, test.says) {
			t.Errorf("%s is answered %d %s, want %d with %q", test.id, code, answer, test.code, test.says)
		}
	}
	r.unknown.err = errors.New("the store is away")
	if code, _ := r.get(t, "/api/v1/unknown/3f2a/proposal"); code != http.StatusServiceUnavailable {
		t.Errorf("without its store, it answers %d", code)
	}
}

// TestUnknown: the parameters select the clusters; what can't be meant is refused.
func TestUnknown(t *testing.T) {
	t.Parallel()
	r := newAdminRig(t)
	for _, test := range []struct {
		query string
		code  int
		says  string
	}{
		{"?since=2h&project=platform/*&id=3f2a", http.StatusOK, `since 2h0m0s of \"platform/*\", \"3f2a\"`},
		{"", http.StatusOK, `"failed":0`},
		{"", http.StatusOK, `"not_read":7,"every_failure":false`},
		{"?since=yesterday", http.StatusBadRequest, "a duration like 2h or 7d"},
		{"?project=[", http.StatusBadRequest, "project"},
		{"?limit=1", http.StatusBadRequest, "there are since, project, id"},
		{"?id=a&id=b", http.StatusBadRequest, "the id of one group"},
		{"?id=", http.StatusBadRequest, "the id of one group"},
	} {
		if code, answer := r.get(t, "/api/v1/unknown"+test.query); code != test.code || !strings.Contains(answer, test.says) {
			t.Errorf("%s is answered %d %s, want %d with %q", test.query, code, answer, test.code, test.says)
		}
	}
	r.unknown.err = errors.New("the store is away")
	if code, answer := r.get(t, "/api/v1/unknown"); code != http.StatusServiceUnavailable || strings.Contains(answer, "is away") {
		t.Errorf("without its store, it answers %d %s", code, answer)
	}
}
