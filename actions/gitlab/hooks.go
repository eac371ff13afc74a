package gitlab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
)

// Hook is a webhook of a project or of a group.
type Hook struct {
	ID             int64
	Project        int64  // 0: it is a group's
	Group          string // as given to GroupHooks
	URL            string // may contain a secret
	JobEvents      bool
	PipelineEvents bool
	AlertStatus    string    // executable, disabled or temporarily_disabled; "" if GitLab does not say
	DisabledUntil  time.Time // of a hook that is temporarily disabled
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
