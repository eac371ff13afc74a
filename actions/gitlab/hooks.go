package gitlab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
)

// Hook is a webhook of a project or of a group, as the API describes it. The API
// never returns the secret token and the signing token.
type Hook struct {
	ID             int64
	Project        int64  // 0: it is a group's
	Group          string // as given to GroupHooks
	URL            string // may contain a secret
	JobEvents      bool
	PipelineEvents bool
	PushEvents     bool
	Events         []string // all events that it sends, sorted, as in job_events: job, pipeline, tag_push
	VerifiesTLS    bool     // GitLab checks the certificate of URL
	Template       bool     // a custom template makes the bodies (16.10+)
	// FiltersBranches is set if it sends push events of some branches only. No other
	// event is filtered (ActiveHookFilter in GitLab's source).
	FiltersBranches bool
	HasToken        Presence // the secret token
	HasSigningToken Presence
	AlertStatus     string    // StatusExecutable, StatusDisabled, StatusPaused; "" if GitLab does not say
	DisabledUntil   time.Time // of a hook that is temporarily disabled, or was and has failed since
}

// The values of Hook.AlertStatus.
const (
	StatusExecutable = "executable"
	StatusPaused     = "temporarily_disabled"
	StatusDisabled   = "disabled" // for good
)

// Sends reports whether GitLab sends the hook's events at present.
func (h Hook) Sends() bool { return h.AlertStatus == "" || h.AlertStatus == StatusExecutable }

// Presence says whether a webhook has a secret.
type Presence string

// The presences. GitLab before 19.0 does not say.
const (
	Unknown Presence = ""
	Present Presence = "present"
	Absent  Presence = "absent"
)

// HasPath reports whether the path of the hook's URL ends in suffix, with or
// without a slash after it.
func (h Hook) HasPath(suffix string) bool {
	u, err := url.Parse(h.URL)
	return err == nil && strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), suffix)
}

// Name names the hook in keys, logs and messages, without its URL, which may hold a
// secret.
func (h Hook) Name() string {
	if h.Group != "" {
		return fmt.Sprintf("group %s, webhook %d", h.Group, h.ID)
	}
	return fmt.Sprintf("project %d, webhook %d", h.Project, h.ID)
}

// HookDelivery is one event that GitLab sent to a webhook, or tried to.
type HookDelivery struct {
	ID     int64
	At     time.Time // zero if GitLab does not say
	Event  string    // the value of X-Gitlab-Event: Job Hook, Pipeline Hook
	Key    string    // Idempotency-Key (17.4+), the same for each repetition; "": there is none
	Status string    // HTTP status of the answer; "internal error" if there was none
	Body   []byte    // the JSON; nil if GitLab stored none because it was too long or could not be made
}

// ProjectHooks lists the webhooks of a project, not those of its groups.
func (c *Client) ProjectHooks(ctx context.Context, project int64) ([]Hook, error) {
	return c.hooks(ctx, endpoint.ProjectHooks, Hook{Project: project})
}

// GroupHooks lists the webhooks of a group, given by its id in digits or by
// its full path. They exist in GitLab Premium and Ultimate; others answer 404.
func (c *Client) GroupHooks(ctx context.Context, group string) ([]Hook, error) {
	if group == "" {
		return nil, errors.New("gitlab: no group is named: write its id or its full path, for instance platform/tools")
	}
	return c.hooks(ctx, endpoint.GroupHooks, Hook{Group: group})
}

// hooks lists the webhooks of the project or group of owned.
func (c *Client) hooks(ctx context.Context, endpoint string, owned Hook) ([]Hook, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint, Path: owned.path(), Params: &gl.ListOptions{PerPage: perPage}}
	var hooks []Hook
	for h, err := range rest.List[hookJSON](ctx, c.Client, r) {
		if err != nil {
			return nil, err
		}
		hooks = append(hooks, h.hook(owned))
	}
	return hooks, nil
}

// path is the API's path of the webhooks of h's project or group.
func (h Hook) path() string {
	if h.Group != "" {
		return "groups/" + gl.PathEscape(h.Group) + "/hooks"
	}
	return fmt.Sprintf("projects/%d/hooks", h.Project)
}

// Hook returns a webhook as it is now, by the ID and the Project or Group of h.
func (c *Client) Hook(ctx context.Context, h Hook) (Hook, error) {
	return c.hook(ctx, h, rest.Request{Method: http.MethodGet, Endpoint: endpoint.Hook, Path: fmt.Sprintf("%s/%d", h.path(), h.ID)})
}

// hook sends a request that is answered with one webhook of the project or group of
// owned.
func (c *Client) hook(ctx context.Context, owned Hook, r rest.Request) (Hook, error) {
	answer, resp, err := rest.Call(ctx, c.Client, r, hookJSON{})
	switch {
	case err != nil:
		return Hook{}, err
	case answer.ID == 0:
		return Hook{}, rest.Unexpected(c.Client, r, resp, "the answer is no webhook")
	}
	return answer.hook(owned), nil
}

// HookSettings are what CreateHook and EditHook set. GitLab ignores settings that it
// does not know.
type HookSettings struct {
	// URL is required. Another URL makes GitLab forget the secret token, unless that is
	// set too, the values of the URL's variables and the custom headers.
	URL            string  `json:"url"`
	Name           string  `json:"name,omitempty"` // 17.1+
	Description    string  `json:"description,omitempty"`
	JobEvents      *bool   `json:"job_events,omitempty"`
	PipelineEvents *bool   `json:"pipeline_events,omitempty"`
	PushEvents     *bool   `json:"push_events,omitempty"` // of a new webhook: true by default
	VerifiesTLS    *bool   `json:"enable_ssl_verification,omitempty"`
	Token          string  `json:"token,omitempty"`
	SigningToken   string  `json:"signing_token,omitempty"`             // 19.0+, whsec_ and 32 bytes in base64
	BranchFilter   *string `json:"push_events_branch_filter,omitempty"` // "": none
	FilterStrategy string  `json:"branch_filter_strategy,omitempty"`    // wildcard, regex or all_branches
	Template       *string `json:"custom_webhook_template,omitempty"`   // "": none
}

// CreateHook adds a webhook to the project or group of owned. It needs the role
// Maintainer in the project, or Owner in the group. GitLab answers 422 to a URL that is
// malformed or in a local network that its administrator has not allowed, and when a
// project has 100 webhooks, or a group 50.
func (c *Client) CreateHook(ctx context.Context, owned Hook, s HookSettings) (Hook, error) {
	return c.hook(ctx, owned, rest.Request{Method: http.MethodPost, Endpoint: endpoint.CreateHook, Path: owned.path(), Params: s})
}

// EditHook changes settings of a webhook; those that are nil or "" stay.
func (c *Client) EditHook(ctx context.Context, h Hook, s HookSettings) (Hook, error) {
	return c.hook(ctx, h, rest.Request{Method: http.MethodPut, Endpoint: endpoint.EditHook, Path: fmt.Sprintf("%s/%d", h.path(), h.ID), Params: s})
}

// DeleteHook removes a webhook.
func (c *Client) DeleteHook(ctx context.Context, h Hook) error {
	_, _, err := rest.Call(ctx, c.Client, rest.Request{
		Method: http.MethodDelete, Endpoint: endpoint.DeleteHook, Path: fmt.Sprintf("%s/%d", h.path(), h.ID),
	}, struct{}{})
	return err
}

// TestHook makes GitLab (16.11+, for groups 17.1+) deliver a sample of a push event to
// the webhook, whatever events it sends, and also if it is disabled: a push event needs
// neither a job nor a pipeline, and no rule acts on it. An answer of the receiver with
// 2xx enables the webhook again. Any other is an error of GitLab with 422 and the
// receiver's answer. GitLab allows 5 tests a minute in each project or group.
func (c *Client) TestHook(ctx context.Context, h Hook) error {
	_, _, err := rest.Call(ctx, c.Client, rest.Request{
		Method: http.MethodPost, Endpoint: endpoint.TestHook, Path: fmt.Sprintf("%s/%d/test/push_events", h.path(), h.ID),
	}, struct{}{})
	return err
}

// LastDelivery returns the latest delivery of the last days to a webhook (17.3+); ok is
// false if there was none.
func (c *Client) LastDelivery(ctx context.Context, h Hook) (d HookDelivery, ok bool, err error) {
	r := rest.Request{
		Method: http.MethodGet, Endpoint: endpoint.HookDeliveries, Path: fmt.Sprintf("%s/%d/events", h.path(), h.ID),
		Params: &gl.ListOptions{PerPage: 1},
	}
	page, _, err := rest.Call(ctx, c.Client, r, []deliveryJSON(nil))
	if err != nil || len(page) == 0 {
		return HookDelivery{}, false, err
	}
	return page[0].delivery(), true, nil
}

// deliveriesPage is how many deliveries are requested at a time. GitLab allows 20,
// but each may be megabytes long.
const deliveriesPage = 10

// deliveriesSpan is how far back deliveries are listed. Newer versions store them
// for 7 days; the older ones for 2, without their times.
const deliveriesSpan = 48 * time.Hour

// FailedDeliveries lists the deliveries of the last two days that GitLab (17.3+)
// could not deliver to a webhook, newest first, page by page as they are needed:
// those answered with 4xx, 5xx or not at all. A delivery that was resent since is
// still listed, once for each failure, always with the same Key. It ends with the
// first error.
func (c *Client) FailedDeliveries(ctx context.Context, h Hook) iter.Seq2[HookDelivery, error] {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.HookDeliveries,
		Path:     fmt.Sprintf("%s/%d/events", h.path(), h.ID),
		Params: &deliveriesOptions{
			ListOptions: gl.ListOptions{PerPage: deliveriesPage},
			Status:      "client_failure,server_failure", // server_failure includes those without an answer
		},
	}
	return func(yield func(HookDelivery, error) bool) {
		oldest := c.now().Add(-deliveriesSpan)
		// A delivery that fails between two pages shifts the others: some appear
		// twice.
		seen := map[int64]bool{}
		for d, err := range rest.List[deliveryJSON](ctx, c.Client, r) {
			switch {
			case err != nil:
				yield(HookDelivery{}, err)
				return
			case !d.CreatedAt.Time().IsZero() && d.CreatedAt.Time().Before(oldest):
				return
			case seen[int64(d.ID)]:
				continue
			}
			seen[int64(d.ID)] = true
			if !yield(d.delivery(), nil) {
				return
			}
		}
	}
}

// deliveriesOptions is the query of FailedDeliveries, which client-go lacks.
type deliveriesOptions struct {
	gl.ListOptions
	Status string `url:"status"`
}
