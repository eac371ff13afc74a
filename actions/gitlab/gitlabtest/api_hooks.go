package gitlabtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The API of webhooks: the lists of them and of their deliveries. The lists of
// groups' webhooks are those of Hook.Group. Only AddHook creates webhooks.

// maxStoredBody is the size, in bytes, from which on GitLab stores no body of a
// delivery (WebHookLog in its source).
const maxStoredBody = 100_000

// listedFor is how long deliveries are listed.
const listedFor = 48 * time.Hour

// hooksOf returns the webhooks of the path's project or group; false: an error
// is answered.
func (c *call) hooksOf() ([]Hook, bool) {
	var of func(Hook) bool
	if c.r.PathValue("group") != "" {
		g := c.findGroup()
		if g == nil {
			return nil, false
		}
		of = func(h Hook) bool { return h.Group == g.Path }
	} else {
		if c.project.Role != Maintainer {
			c.message(http.StatusForbidden, "403 Forbidden")
			return nil, false
		}
		of = func(h Hook) bool { return h.ProjectID == c.project.ID }
	}
	var hooks []Hook
	for _, h := range c.s.hooks {
		if of(h) {
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
		writeJSON(c.w, http.StatusOK, each(page, func(h Hook) object {
			return object{
				"id": h.ID, "url": h.URL, "job_events": h.JobEvents, "pipeline_events": h.PipelineEvents, "push_events": false,
				"enable_ssl_verification": true, "alert_status": "executable", "disabled_until": nil,
			}
		}))
	}
}

// findHook finds the webhook of the path; nil: an error is answered.
func (c *call) findHook() *Hook {
	hooks, ok := c.hooksOf()
	if !ok {
		return nil
	}
	for i := range hooks {
		if c.r.PathValue("hook") == strconv.FormatInt(hooks[i].ID, 10) {
			return &hooks[i]
		}
	}
	c.message(http.StatusNotFound, "404 Not found")
	return nil
}

// listHookEvents lists the deliveries of a webhook in the last two days, newest
// first; with a status, only those with it.
func (c *call) listHookEvents() {
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
