package gitlabtest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The lists of webhooks and of their deliveries. Those of groups are the webhooks
// with Hook.Group.

// maxStoredBody is the size, in bytes, from which on GitLab stores no body of a
// delivery (WebHookLog in its source).
const maxStoredBody = 100_000

// listedFor is how long deliveries are listed.
const listedFor = 48 * time.Hour

// ownHooks returns what the new webhooks of the path's project or group have; false:
// an error is answered.
func (c *call) ownHooks() (own Hook, ok bool) {
	if c.r.PathValue("group") == "" {
		if c.project.Role != Maintainer {
			c.message(http.StatusForbidden, "403 Forbidden")
			return Hook{}, false
		}
		return Hook{ProjectID: c.project.ID}, true
	}
	if !c.s.premium() {
		c.fail(http.StatusNotFound, "404 Not Found") // there is no such route
		return Hook{}, false
	}
	g := c.findGroup()
	if g == nil {
		return Hook{}, false
	}
	if g.NotOwner || g.Role != Maintainer {
		c.message(http.StatusForbidden, "403 Forbidden")
		return Hook{}, false
	}
	return Hook{Group: g.Path}, true
}

// hooksOf returns the webhooks of the path's project or group; false: an error
// is answered.
func (c *call) hooksOf() ([]Hook, bool) {
	own, ok := c.ownHooks()
	if !ok {
		return nil, false
	}
	var hooks []Hook
	for _, h := range c.s.hooks {
		if h.ProjectID == own.ProjectID && h.Group == own.Group {
			hooks = append(hooks, h)
		}
	}
	return hooks, true
}

func (c *call) listHooks() {
	hooks, ok := c.hooksOf()
	if !ok {
		return
	}
	if page, ok := offsetPage(c, slices.Values(hooks), true); ok {
		writeJSON(c.w, http.StatusOK, each(page, c.s.apiHook))
	}
}

// apiHook describes a webhook (API::Entities::Hook), never its secrets.
func (s *Server) apiHook(h Hook) object {
	o := object{
		"id": h.ID, "url": h.URL, "created_at": nil, "push_events": h.PushEvents, "job_events": h.JobEvents, "pipeline_events": h.PipelineEvents,
		"tag_push_events": false, "enable_ssl_verification": !h.InsecureTLS, "push_events_branch_filter": orNull(h.BranchFilter),
		"branch_filter_strategy": cmp.Or(h.FilterStrategy, "wildcard"), "alert_status": s.alertStatus(h), "disabled_until": nil,
	}
	if !h.DisabledUntil.IsZero() {
		o["disabled_until"] = isoTime(h.DisabledUntil)
	}
	if h.Group != "" {
		o["group_id"] = s.groupAt(h.Group).ID
	} else {
		o["project_id"] = h.ProjectID
	}
	if s.version.atLeast(16, 10) {
		o["custom_webhook_template"] = orNull(h.Template)
	}
	if s.version.atLeast(17, 1) {
		o["name"], o["description"] = orNull(h.Name), orNull(h.Description)
	}
	if s.version.atLeast(19, 0) {
		o["token_present"], o["signing_token_present"] = h.Token != "", h.SigningToken != ""
	}
	return o
}

// findHook finds the webhook of the path; nil: an error is answered.
func (c *call) findHook() *Hook {
	own, ok := c.ownHooks()
	if !ok {
		return nil
	}
	id, err := strconv.ParseInt(c.r.PathValue("hook"), 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "hook_id is invalid")
		return nil
	}
	if h := c.s.findHook(id); h != nil && h.ProjectID == own.ProjectID && h.Group == own.Group {
		return h
	}
	c.message(http.StatusNotFound, "404 Not found")
	return nil
}

// listHookEvents lists the deliveries of a webhook in the last two days, newest
// first; with a status, only those with it.
func (c *call) listHookEvents() {
	if !c.s.version.atLeast(17, 3) {
		c.fail(http.StatusNotFound, "404 Not Found")
		return
	}
	h := c.findHook()
	if h == nil {
		return
	}
	wanted := map[string]bool{}
	for _, status := range strings.FieldsFunc(c.r.URL.Query().Get("status"), func(r rune) bool { return r == ',' }) {
		wanted[status] = true
	}
	var sent []*Delivery
	for _, d := range slices.Backward(c.s.deliveries) {
		listed := d.HookID == h.ID && !d.At.IsZero() && c.s.o.Now().Sub(d.At) < listedFor
		if listed && (len(wanted) == 0 || wanted[endedAs(d.Status)] || wanted[strconv.Itoa(d.Status)]) {
			sent = append(sent, d)
		}
	}
	if page, ok := offsetPage(c, slices.Values(sent), true); ok {
		writeJSON(c.w, http.StatusOK, each(page, c.s.apiHookEvent))
	}
}

// endedAs is the word for a status in the filter; 0 is no answer.
func endedAs(status int) string {
	switch {
	case status >= 200 && status < 400:
		return "successful"
	case status >= 400 && status < 500:
		return "client_failure"
	}
	return "server_failure"
}

func (s *Server) apiHookEvent(d *Delivery) object {
	headers := object{"Content-Type": "application/json", "X-Gitlab-Event": d.Event, "X-Gitlab-Token": "[REDACTED]"}
	if s.version.atLeast(17, 4) {
		headers["Idempotency-Key"] = d.Key
	}
	var data any = rawJSON(d.Body)
	if len(d.Body) > maxStoredBody {
		data = object{"oversize": true}
	}
	status := any(strconv.Itoa(d.Status))
	if d.Status == 0 {
		status = "internal error"
	}
	return object{
		"id": d.ID, "url": "[REDACTED]", "trigger": strings.ToLower(strings.ReplaceAll(d.Event, " ", "_")) + "s",
		"request_headers": headers, "request_data": data, "response_headers": object{}, "response_body": "",
		"execution_duration": 0.1, "response_status": status,
	}
}

// rawJSON is a body that is JSON already.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
