package hooks

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Verdict sums up the webhooks of an owner.
type Verdict string

// The verdicts. Of several that hold, the first is given.
const (
	Unreadable Verdict = "unreadable" // the token may not see them, or GitLab failed
	Missing    Verdict = "missing"    // none is ours
	Disabled   Verdict = "disabled"   // GitLab sends nothing to ours
	Wrong      Verdict = "wrong"      // settings of ours
	Failing    Verdict = "failing"    // its last delivery failed
	Doubled    Verdict = "doubled"    // events come more than once
	Covered    Verdict = "covered"    // by the webhook of a group above: it needs none
	OK         Verdict = "ok"
)

// Report describes the webhooks of an owner, what is to be done with them, and what was
// done. It contains no secrets.
type Report struct {
	Owner    string   `json:"owner"`             // full path
	Kind     string   `json:"kind"`              // project or group
	Webhook  *Webhook `json:"webhook,omitempty"` // ours; nil: there is none
	Verdict  Verdict  `json:"verdict"`
	Findings []string `json:"findings,omitempty"` // what is wrong or remarkable
	Todo     []string `json:"to_do,omitempty"`    // what `ensure` would do
	Done     []string `json:"done,omitempty"`     // what it did
	Held     string   `json:"held,omitempty"`     // why it did nothing: the pause, or the dry run
	Error    string   `json:"error,omitempty"`    // why it could not
}

// Webhook describes a webhook.
type Webhook struct {
	ID            int64     `json:"id"`
	URL           string    `json:"url"` // masked
	Events        []string  `json:"events"`
	State         string    `json:"state,omitempty"` // executable, temporarily_disabled or disabled
	DisabledUntil time.Time `json:"disabled_until,omitzero"`
	VerifiesTLS   bool      `json:"tls_verification"`
	Failed        int       `json:"failed"`                // deliveries of the last day
	More          bool      `json:"more_failed,omitzero"`  // there may be more than Failed
	LastFailed    string    `json:"last_failed,omitempty"` // HTTP status of the last one that failed
	LastFailedAt  time.Time `json:"last_failed_at,omitzero"`
}

// IsWrong reports whether events may be missing or come twice.
func (r Report) IsWrong() bool { return r.Verdict != OK && r.Verdict != Covered || r.Error != "" }

// sends reports whether GitLab sends to the webhook, and nothing has failed.
func (r Report) sends() bool {
	return r.Error == "" && r.Webhook != nil && r.Webhook.State == gitlab.StatusExecutable
}

// Report describes a plan.
func (p Plan) Report(now time.Time) Report {
	r := Report{Owner: p.Owner.Path, Kind: "project", Verdict: p.verdict(), Todo: p.todo()}
	if p.Owner.Project == 0 {
		r.Kind = "group"
	}
	if h := p.Ours; h != nil && h.ID != 0 { // else a dry run has not created it
		d := p.Deliveries[h.ID]
		r.Webhook = &Webhook{
			ID: h.ID, URL: redact.URL(h.URL), Events: h.Events, State: h.AlertStatus, DisabledUntil: h.DisabledUntil, VerifiesTLS: h.VerifiesTLS,
			Failed: d.Failed, More: d.More, LastFailed: d.LastStatus, LastFailedAt: d.LastAt,
		}
	}
	r.Findings = p.findings(now)
	return r
}

func (p Plan) verdict() Verdict {
	switch {
	case p.Ours == nil && p.Above != nil:
		return Covered
	case p.Ours == nil:
		return Missing
	case p.Above != nil:
		return Doubled
	case !p.Ours.Sends():
		return Disabled
	case len(p.Changes) > 0, p.Unsigned:
		return Wrong
	case p.Deliveries[p.Ours.ID].Failing:
		return Failing
	case len(p.Doubles) > 0:
		return Doubled
	}
	return OK
}

// todo says what is to be done, in the order of the steps.
func (p Plan) todo() []string {
	var steps []string
	if p.Create {
		steps = append(steps, "create the webhook")
	}
	if len(p.Changes) > 0 {
		steps = append(steps, fmt.Sprintf("set of webhook %d: %s", p.Ours.ID, listed(p.Changes)))
	}
	switch {
	case !p.Test:
	case p.Ours.Sends():
		steps = append(steps, fmt.Sprintf("try webhook %d by a test delivery", p.Ours.ID))
	default:
		steps = append(steps, fmt.Sprintf("enable webhook %d by a test delivery", p.Ours.ID))
	}
	return steps
}

func listed(changes []Change) string {
	var words []string
	for _, c := range changes {
		words = append(words, c.words())
	}
	return strings.Join(words, ", ")
}

// findings says what is wrong or remarkable, and what a person has to do about it.
func (p Plan) findings(now time.Time) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if p.Above != nil && !p.Above.Sends() && !p.AboveReported {
		add("the %s, which sends its events, is %s: name the group to have it enabled", p.Above.Name(), stateOf(*p.Above))
	}
	if p.RotateAbove && !p.AboveReported {
		add("the %s, which sends its events, keeps its secrets: name the group to rotate them", p.Above.Name())
	}
	if p.Ours != nil {
		p.ofOurs(now, add)
	}
	for _, h := range p.Elsewhere {
		add("webhook %d posts to another address, %s: if that is an earlier one of this service, --replace-url takes it over", h.ID, redact.URL(h.URL))
	}
	return all
}

// ofOurs adds what is to be said of the webhook that is ours.
func (p Plan) ofOurs(now time.Time, add func(format string, args ...any)) {
	h := *p.Ours
	if p.Above != nil {
		add("the %s sends the same events, so that all come twice: delete webhook %d here", p.Above.Name(), h.ID)
		return
	}
	for _, double := range p.Doubles {
		add("webhooks %d and %d have the same address, so that all events come twice: delete webhook %d", h.ID, double.ID, double.ID)
	}
	if !h.Sends() {
		add("GitLab has stopped sending to webhook %d after failed deliveries: it is %s", h.ID, stateOf(h))
	}
	if len(p.Changes) > 0 {
		add("webhook %d needs: %s", h.ID, listed(p.Changes))
	}
	if d := p.Deliveries[h.ID]; d.Failing {
		at := ""
		if !d.LastAt.IsZero() {
			at = fmt.Sprintf(" %s ago", event.Coarse(now.Sub(d.LastAt)))
		}
		add("the last delivery of webhook %d failed%s: %s", h.ID, at, answered(d.LastStatus))
	}
	if p.Unsigned {
		add("%s", unsigned)
	}
}

const unsigned = "GitLab signs no deliveries before 19.0, or has that switched off: give a secret token, too (--webhook-token)"

// stateOf says in words whether GitLab sends to a webhook.
func stateOf(h gitlab.Hook) string {
	switch {
	case h.AlertStatus == gitlab.StatusPaused && !h.DisabledUntil.IsZero():
		return "temporarily disabled, until " + h.DisabledUntil.Format(time.RFC3339)
	case h.AlertStatus == gitlab.StatusDisabled:
		return "disabled for good"
	}
	return strings.ReplaceAll(h.AlertStatus, "_", " ")
}

// answered explains the status of a failed delivery.
func answered(status string) string {
	switch status {
	case "401":
		return "401, the secret of the webhook is not one of this service's"
	case "403":
		return "403, this service takes no events of this GitLab"
	case "internal error":
		return "no answer (is this service reachable from GitLab?)"
	}
	return status
}

// unreadable describes an owner whose webhooks could not be read or changed.
func unreadable(o Owner, err error) Report {
	r := Plan{Found: Found{Owner: o}}.Report(time.Time{})
	r.Verdict, r.Todo, r.Error = Unreadable, nil, reason(o, err)
	return r
}

// reason says in one line why GitLab refused something about an owner's webhooks, and
// what is needed.
func reason(o Owner, err error) string {
	if failed, ok := errors.AsType[*stepError](err); ok {
		return failed.Error()
	}
	if !apierror.IsFinal(err, http.StatusForbidden) {
		return apierror.Words(err)
	}
	role := "Maintainer in the project"
	if o.Project == 0 {
		role = "Owner in the group"
	}
	return apierror.Words(err) + ": the token's user needs the role " + role
}
