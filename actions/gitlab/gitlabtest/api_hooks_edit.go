package gitlabtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// The API that makes, changes, removes and tests webhooks
// (lib/api/project_hooks.rb, lib/api/helpers/web_hooks_helpers.rb and
// lib/api/hooks/trigger_test.rb in GitLab's source).

// How many webhooks a project and a group may have (Limitable).
const (
	maxProjectHooks = 100
	maxGroupHooks   = 50
)

// maxHookTests is how many tests of webhooks are allowed in a minute, in each project or
// group (since 17.0).
const maxHookTests = 5

// hookTriggers are the events that a test can deliver.
var hookTriggers = []string{
	"push_events", "tag_push_events", "issues_events", "confidential_issues_events", "note_events", "merge_requests_events", "job_events",
	"pipeline_events", "wiki_page_events", "releases_events", "emoji_events", "resource_access_token_events",
}

// hookParams are the parameters of a webhook; nil: not given.
type hookParams struct {
	URL            *string `json:"url"`
	Name           *string `json:"name"`
	Description    *string `json:"description"`
	PushEvents     *bool   `json:"push_events"`
	JobEvents      *bool   `json:"job_events"`
	PipelineEvents *bool   `json:"pipeline_events"`
	VerifyTLS      *bool   `json:"enable_ssl_verification"`
	Token          *string `json:"token"`
	SigningToken   *string `json:"signing_token"`
	BranchFilter   *string `json:"push_events_branch_filter"`
	FilterStrategy *string `json:"branch_filter_strategy"`
	Template       *string `json:"custom_webhook_template"`
}

func (c *call) createHook() {
	own, ok := c.ownHooks()
	if !ok {
		return
	}
	var p hookParams
	if !c.params(&p) {
		return
	}
	if p.URL == nil {
		c.fail(http.StatusBadRequest, "url is missing")
		return
	}
	own.PushEvents = true // GitLab's default
	if !c.assign(&own, p) || !c.roomForHook(own) {
		return
	}
	c.s.lastID.hook++
	own.ID = c.s.lastID.hook
	c.s.hooks = append(c.s.hooks, own)
	writeJSON(c.w, http.StatusCreated, c.s.apiHook(own))
}

// roomForHook reports whether the project or group may have another webhook; false: it
// is answered.
func (c *call) roomForHook(own Hook) bool {
	most, kind, n := maxProjectHooks, "project hooks", 0
	if own.Group != "" {
		most, kind = maxGroupHooks, "group hooks"
	}
	for _, h := range c.s.hooks {
		if h.ProjectID == own.ProjectID && h.Group == own.Group {
			n++
		}
	}
	if n >= most {
		c.invalidHook("base", fmt.Sprintf("Maximum number of %s (%d) exceeded", kind, most))
	}
	return n < most
}

// invalidHook answers as render_validation_error! does.
func (c *call) invalidHook(field, reason string) {
	writeJSON(c.w, http.StatusUnprocessableEntity, object{"message": object{field: []string{reason}}})
}

func (c *call) getHook() {
	if h := c.findHook(); h != nil {
		writeJSON(c.w, http.StatusOK, c.s.apiHook(*h))
	}
}

func (c *call) editHook() {
	h := c.findHook()
	if h == nil {
		return
	}
	var p hookParams
	switch {
	case !c.params(&p):
		return
	case p.URL == nil && !c.s.version.atLeast(16, 0):
		c.fail(http.StatusBadRequest, "url is missing")
		return
	case p == hookParams{}:
		c.fail(http.StatusBadRequest, "No parameters provided")
		return
	}
	edited := *h
	if !c.assign(&edited, p) {
		return
	}
	if edited.URL != h.URL && p.Token == nil {
		edited.Token = ""
	}
	*h = edited
	writeJSON(c.w, http.StatusOK, c.s.apiHook(edited))
}

func (c *call) deleteHook() {
	h := c.findHook()
	if h == nil {
		return
	}
	id := h.ID
	c.s.hooks = slices.DeleteFunc(c.s.hooks, func(h Hook) bool { return h.ID == id })
	c.w.WriteHeader(http.StatusNoContent)
}

// assign sets the given parameters; false: one is refused, and answered.
func (c *call) assign(h *Hook, p hookParams) bool {
	set := func(field, given *string) {
		if given != nil {
			*field = *given
		}
	}
	on := func(field, given *bool) {
		if given != nil {
			*field = *given
		}
	}
	set(&h.URL, p.URL)
	set(&h.Token, p.Token)
	on(&h.PushEvents, p.PushEvents)
	on(&h.JobEvents, p.JobEvents)
	on(&h.PipelineEvents, p.PipelineEvents)
	set(&h.BranchFilter, p.BranchFilter)
	set(&h.FilterStrategy, p.FilterStrategy)
	if p.VerifyTLS != nil {
		h.InsecureTLS = !*p.VerifyTLS
	}
	if c.s.version.atLeast(16, 10) {
		set(&h.Template, p.Template)
	}
	if c.s.version.atLeast(17, 1) {
		set(&h.Name, p.Name)
		set(&h.Description, p.Description)
	}
	if c.s.version.atLeast(19, 0) && !c.s.o.NoSigningTokens {
		set(&h.SigningToken, p.SigningToken)
	}
	if !slices.Contains([]string{"", "wildcard", "regex", "all_branches"}, h.FilterStrategy) {
		c.fail(http.StatusBadRequest, "branch_filter_strategy does not have a valid value")
		return false
	}
	if h.FilterStrategy == "all_branches" {
		h.BranchFilter = ""
	}
	switch {
	case !c.s.allowsHook(h.URL):
		c.fail(http.StatusUnprocessableEntity, "Invalid url given")
		return false
	case strings.Contains(h.Token, "\n"):
		c.invalidHook("token", "is invalid")
		return false
	case h.SigningToken != "" && !isSigningToken(h.SigningToken):
		c.invalidHook("signing_token", "must be in whsec_<base64> format encoding a 32-byte key")
		return false
	}
	return true
}

// isSigningToken reports whether GitLab accepts a signing token.
func isSigningToken(token string) bool {
	key, err := signingKey(token)
	return err == nil && len(key) == 32
}

// allowsHook reports whether a webhook may have this URL (PublicUrlValidator).
func (s *Server) allowsHook(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return false
	}
	if !s.o.NoLocalHooks {
		return true
	}
	address, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !address.IsLoopback() && !address.IsPrivate())
}

// testHook delivers a sample of an event, also to a webhook that is disabled, and
// answers when the receiver has answered (TestHooks::ProjectService).
func (c *call) testHook() {
	trigger := c.r.PathValue("trigger")
	group := c.r.PathValue("group")
	if group == "" && !c.s.version.atLeast(16, 11) || group != "" && !c.s.version.atLeast(17, 1) {
		c.fail(http.StatusNotFound, "404 Not Found")
		return
	}
	h := c.findHook()
	if h == nil {
		return
	}
	if !slices.Contains(hookTriggers, trigger) {
		c.fail(http.StatusBadRequest, "trigger does not have a valid value")
		return
	}
	if !c.mayTestHook() {
		return
	}
	body, reason := c.sample(trigger)
	if body == nil {
		c.message(http.StatusUnprocessableEntity, reason)
		return
	}
	event := strings.TrimSuffix(trigger, "_events")
	d := &Delivery{
		ID: int64(len(c.s.deliveries) + 1), HookID: h.ID, Event: strings.ToUpper(event[:1]) + event[1:] + " Hook", Key: uuid(), Body: encode(body),
	}
	c.s.deliveries = append(c.s.deliveries, d)
	c.s.deliver(c.r.Context(), d)
	if d.Status < 200 || d.Status > 299 {
		c.message(http.StatusUnprocessableEntity, cmp.Or(d.answer, d.Error))
		return
	}
	c.message(http.StatusCreated, "201 Created")
}

// mayTestHook counts a test; false: there were too many in this minute, and 429 is
// answered.
func (c *call) mayTestHook() bool {
	if !c.s.version.atLeast(17, 0) {
		return true
	}
	if minute := c.s.o.Now().Unix() / 60; minute != c.s.testMinute || c.s.tests == nil {
		c.s.testMinute, c.s.tests = minute, map[string]int{}
	}
	of := "project " + c.r.PathValue("project") + " group " + c.r.PathValue("group")
	if c.s.tests[of]++; c.s.tests[of] > maxHookTests {
		answerTooManyTimes(c.w, tooManyTimes)
		return false
	}
	return true
}

// sample is the body that a test delivers; nil: there is none, for the reason.
func (c *call) sample(trigger string) (body object, reason string) {
	p := c.project
	if p == nil {
		for _, other := range c.s.memberProjects() {
			if g := c.findGroup(); g != nil && g.below(other.Path) {
				p = other
				break
			}
		}
	}
	switch {
	case p == nil:
		return nil, "Ensure the group has a project with commits."
	case trigger == "push_events":
		return pushHook(c.s.o.Person, p), ""
	case trigger == "job_events":
		if len(p.jobs) == 0 {
			return nil, "Ensure the project has CI jobs."
		}
		return c.s.jobHook(p.jobs[len(p.jobs)-1]), ""
	case trigger == "pipeline_events":
		if len(p.pipelines) == 0 {
			return nil, "Ensure the project has CI pipelines."
		}
		return c.s.pipelineHook(p.pipelines[len(p.pipelines)-1]), ""
	}
	return nil, "Testing not available for this hook"
}

// pushHook is a Push Hook (Gitlab::DataBuilder::Push.build_sample).
func pushHook(by User, p *project) object {
	sha := madeUpSHA(p.ID)
	return object{
		"object_kind": "push", "event_name": "push", "before": sha, "after": sha, "ref": "refs/heads/" + p.DefaultBranch, "checkout_sha": sha,
		"user_id": by.ID, "user_name": by.Name, "user_username": by.Username, "project_id": p.ID,
		"project": object{"id": p.ID, "name": p.Name, "web_url": p.WebURL, "path_with_namespace": p.Path, "default_branch": p.DefaultBranch},
		"commits": []json.RawMessage{}, "total_commits_count": 0,
	}
}
