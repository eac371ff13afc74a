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
	Group          string // as it was asked for
	URL            string // may hold a secret
	JobEvents      bool
	PipelineEvents bool
	AlertStatus    string    // executable, disabled or temporarily_disabled; "" where GitLab does not tell
	DisabledUntil  time.Time // of a hook that is temporarily disabled
}

// HookDelivery is one event that GitLab sent to a webhook, or tried to.
type HookDelivery struct {
	ID     int64
	At     time.Time // zero where GitLab does not tell
	Event  string    // as X-Gitlab-Event has it: Job Hook, Pipeline Hook
	Key    string    // Idempotency-Key (17.4+), the same however often it is sent; "" where there is none
	Status string    // HTTP status of the answer; "internal error" where there was none
	Body   []byte    // the JSON; nil where GitLab keeps none, for it was too long or could not be made
}

// ProjectHooks lists the webhooks of a project, not those of its groups.
func (c *Client) ProjectHooks(ctx context.Context, project int64) ([]Hook, error) {
	return c.hooks(ctx, endpoint.ProjectHooks, Hook{Project: project})
}

// GroupHooks lists the webhooks of a group, given by its id in digits or by
// its full path. GitLab has them from Premium on; others answer 404.
func (c *Client) GroupHooks(ctx context.Context, group string) ([]Hook, error) {
	if group == "" {
		return nil, errors.New("gitlab: no group is named: write its id or its full path, for instance platform/tools")
	}
	return c.hooks(ctx, endpoint.GroupHooks, Hook{Group: group})
}

// hooks lists the webhooks of the project or group that owned names.
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

// path is where the webhooks of h's project or group are.
func (h Hook) path() string {
	if h.Group != "" {
		return "groups/" + gl.PathEscape(h.Group) + "/hooks"
	}
	return fmt.Sprintf("projects/%d/hooks", h.Project)
}

// deliveriesPage is how many deliveries are asked for at a time. GitLab gives
// 20 at most, but each may be megabytes long.
const deliveriesPage = 10

// deliveriesSpan is how far back deliveries are listed. Newer versions keep
// them for 7 days; the older ones keep 2 and do not tell when each was.
const deliveriesSpan = 48 * time.Hour

// FailedDeliveries lists what GitLab (17.3+) could not deliver to a webhook
// in the last two days, newest first, page by page as it is asked for:
// whatever was answered with 4xx, 5xx or not at all. A delivery that was
// resent since, and one that failed again, is still among them, as often as
// it failed, always with the same Key. It ends with the first error.
func (c *Client) FailedDeliveries(ctx context.Context, h Hook) iter.Seq2[HookDelivery, error] {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.HookDeliveries,
		Path:     fmt.Sprintf("%s/%d/events", h.path(), h.ID),
		Params: &deliveriesOptions{
			ListOptions: gl.ListOptions{PerPage: deliveriesPage},
			Status:      "client_failure,server_failure", // the latter has those without an answer
		},
	}
	return func(yield func(HookDelivery, error) bool) {
		oldest := c.now().Add(-deliveriesSpan)
		// A delivery that fails between two pages moves the others on: some
		// come twice.
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

// deliveriesOptions is the query of FailedDeliveries, which client-go has not.
type deliveriesOptions struct {
	gl.ListOptions
	Status string `url:"status"`
}
