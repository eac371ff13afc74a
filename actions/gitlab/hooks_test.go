package gitlab_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
)

func TestHooks(t *testing.T) {
	const body = `[
		{"id": 5, "url": "https://bot.example.com/gitlab", "job_events": true, "pipeline_events": false, "alert_status": "temporarily_disabled",
		 "disabled_until": "2026-11-22T12:30:00.000Z", "project_id": 22, "push_events": 1, "enable_ssl_verification": false, "custom_webhook_template": "{}",
		 "push_events_branch_filter": "main", "branch_filter_strategy": "wildcard", "token_present": true, "signing_token_present": false},
		{"id": "6", "url": null, "pipeline_events": true, "tag_push_events": true, "disabled_until": null, "enable_ssl_verification": true,
		 "push_events_branch_filter": "main", "branch_filter_strategy": "all_branches", "token_present": null}]`
	var requests string
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests = r.URL.EscapedPath()
		_, _ = w.Write([]byte(body))
	}))
	want := []gitlab.Hook{
		{
			ID: 5, URL: "https://bot.example.com/gitlab", JobEvents: true, Events: []string{"job"}, AlertStatus: gitlab.StatusPaused, DisabledUntil: noon.Add(30 * time.Minute),
			Template: true, FiltersBranches: true, HasToken: gitlab.Present, HasSigningToken: gitlab.Absent,
		},
		{ID: 6, PipelineEvents: true, Events: []string{"pipeline", "tag_push"}, VerifiesTLS: true},
	}
	for _, tt := range []struct {
		path string
		list func() ([]gitlab.Hook, error)
		of   gitlab.Hook
	}{
		{"/api/v4/projects/22/hooks", func() ([]gitlab.Hook, error) { return c.ProjectHooks(t.Context(), 22) }, gitlab.Hook{Project: 22}},
		{"/api/v4/groups/platform%2Ftools/hooks", func() ([]gitlab.Hook, error) { return c.GroupHooks(t.Context(), "platform/tools") }, gitlab.Hook{Group: "platform/tools"}},
	} {
		got, err := tt.list()
		for i := range want {
			want[i].Project, want[i].Group = tt.of.Project, tt.of.Group
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil || requests != tt.path {
			t.Errorf("requested %s: %v, -want +got:\n%s", requests, err, diff)
		}
	}
	if _, err := c.GroupHooks(t.Context(), ""); err == nil || !strings.HasPrefix(err.Error(), "gitlab: no group is named") {
		t.Errorf("no group: %v", err)
	}
}

// GitLab answers a deletion with 204 and no body.
func TestDeleteHook(t *testing.T) {
	var requests []string
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.Method+" "+r.URL.EscapedPath())
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, h := range []gitlab.Hook{{Project: 22, ID: 5}, {Group: "platform/tools", ID: 6}} {
		if err := c.DeleteHook(t.Context(), h); err != nil {
			t.Errorf("%s: %v", h.Name(), err)
		}
	}
	if diff := cmp.Diff([]string{"DELETE /api/v4/projects/22/hooks/5", "DELETE /api/v4/groups/platform%2Ftools/hooks/6"}, requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// deliveries is a GitLab that has these failed deliveries, newest first.
type deliveries struct {
	bodies   []string
	requests []string
	grow     bool // one more fails after each page
}

func (d *deliveries) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d.requests = append(d.requests, r.URL.EscapedPath()+" "+q.Get("status"))
	var page, perPage int
	if _, err := fmt.Sscan(q.Get("page")+" "+q.Get("per_page"), &page, &perPage); err != nil {
		page, perPage = 1, 10
	}
	from := min((page-1)*perPage, len(d.bodies))
	to := min(from+perPage, len(d.bodies))
	if to < len(d.bodies) {
		w.Header().Set("X-Next-Page", strconv.Itoa(page+1))
	}
	_, _ = w.Write([]byte("[" + strings.Join(d.bodies[from:to], ",") + "]"))
	if d.grow {
		d.bodies = append([]string{fmt.Sprintf(`{"id": %d}`, 1000+page)}, d.bodies...)
	}
}

func failedDeliveries(t *testing.T, c *gitlab.Client, h gitlab.Hook) []gitlab.HookDelivery {
	t.Helper()
	var list []gitlab.HookDelivery
	for d, err := range c.FailedDeliveries(t.Context(), h) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// Each version of the API's JSON of a delivery is decoded.
func TestFailedDeliveries(t *testing.T) {
	d := &deliveries{bodies: []string{
		`{"id": 9, "trigger": "job_hooks", "created_at": "2026-11-22T11:00:00.000Z", "response_status": "500",
		  "request_headers": {"X-Gitlab-Event": "Job Hook", "Idempotency-Key": "f5e5f430", "X-Gitlab-Token": "[REDACTED]"},
		  "request_data": {"object_kind": "build", "build_id": 7}}`,
		`{"id": "8", "trigger": "pipeline_hooks", "request_headers": {"X-Gitlab-Webhook-UUID": null}, "request_data": {"oversize": true}, "response_status": "internal error"}`,
		`{"id": 7, "trigger": "job_hooks", "request_headers": [], "request_data": {}, "response_status": 404}`,
		`{"id": 6, "trigger": "", "request_data": null, "created_at": "2026-11-20T12:00:00.000Z"}`,
		`{"id": 5, "trigger": "job_hooks", "created_at": "2026-11-20T11:59:59.000Z"}`,
		`{"id": 4, "trigger": "job_hooks"}`,
	}}
	c, _ := newClient(t, serve(t, d.ServeHTTP))
	got := failedDeliveries(t, c, gitlab.Hook{ID: 3, Group: "platform/tools"})
	want := []gitlab.HookDelivery{
		{ID: 9, At: time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC), Event: "Job Hook", Key: "f5e5f430", Status: "500", Body: []byte(`{"object_kind": "build", "build_id": 7}`)},
		{ID: 8, Event: "Pipeline Hook", Status: "internal error"},
		{ID: 7, Event: "Job Hook", Status: "404"},
		{ID: 6, At: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/api/v4/groups/platform%2Ftools/hooks/3/events client_failure,server_failure"}, d.requests); diff != "" {
		t.Errorf("requested, -want +got:\n%s", diff)
	}
}

// Deliveries that fail meanwhile move the others to later pages: each comes
// once all the same.
func TestFailedDeliveriesMove(t *testing.T) {
	d := &deliveries{grow: true}
	var want []int64
	for id := int64(35); id > 0; id-- {
		d.bodies = append(d.bodies, fmt.Sprintf(`{"id": %d}`, id))
		want = append(want, id)
	}
	c, _ := newClient(t, serve(t, d.ServeHTTP))
	var got []int64
	for _, d := range failedDeliveries(t, c, gitlab.Hook{ID: 3, Project: 22}) {
		got = append(got, d.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFailedDeliveriesEndsWithError(t *testing.T) {
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/user") {
			answer(w, http.StatusOK, `{"id": 1, "is_admin": true}`)
			return
		}
		answer(w, http.StatusForbidden, `{"message":"403 Forbidden"}`)
	}))
	failures := 0
	for _, err := range c.FailedDeliveries(t.Context(), gitlab.Hook{ID: 3, Project: 22}) {
		failures++
		if !failureOf(t, err).Rights() {
			t.Errorf("no rights: %v", err)
		}
	}
	if failures != 1 {
		t.Errorf("%d errors", failures)
	}
}
