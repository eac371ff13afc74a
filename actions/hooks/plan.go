package hooks

import (
	"cmp"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
)

// Owner is a project or a group: what has webhooks.
type Owner struct {
	Path    string // full path
	Project int64  // the project's id; 0: it is a group
}

func (o Owner) String() string {
	if o.Project == 0 {
		return "group " + o.Path
	}
	return o.Path
}

// hook returns a webhook that belongs to the owner, without an id.
func (o Owner) hook() gitlab.Hook {
	if o.Project == 0 {
		return gitlab.Hook{Group: o.Path}
	}
	return gitlab.Hook{Project: o.Project}
}

// Found is what GitLab has of an owner.
type Found struct {
	Owner Owner
	Hooks []gitlab.Hook
	// Above is our webhook of a group above the owner, which sends the same events; nil:
	// there is none that the token may see.
	Above *gitlab.Hook
	// AboveHidden is set if a group above may have webhooks that the token may not see.
	AboveHidden bool
	// Deliveries are those of our webhooks, by id, as far as they were read.
	Deliveries map[int64]Deliveries
	// AboveReported is set if Above's group has a report of its own.
	AboveReported bool
}

// Deliveries sums up the deliveries of a webhook in the last day.
type Deliveries struct {
	Failed     int // up to maxFailed
	More       bool
	LastStatus string    // HTTP status of the last answer that was a failure; "internal error": there was none
	LastAt     time.Time // of that; zero: GitLab does not say
	// Failing is set if no later delivery has succeeded.
	Failing bool
}

// unauthorized is the status with which this service answers a wrong secret.
const unauthorized = "401"

// Change is a setting of a webhook that is to be set, by the API's name.
type Change string

// The settings.
const (
	ChangeURL            Change = "url"
	ChangeJobEvents      Change = "job_events"
	ChangePipelineEvents Change = "pipeline_events"
	ChangeTLS            Change = "enable_ssl_verification"
	ChangeToken          Change = "token"
	ChangeSigningToken   Change = "signing_token"
	ChangeTemplate       Change = "custom_webhook_template"
	ChangeBranchFilter   Change = "push_events_branch_filter"
)

// words returns what the change does.
func (c Change) words() string {
	switch c {
	case ChangeURL:
		return "URL"
	case ChangeJobEvents:
		return "job events on"
	case ChangePipelineEvents:
		return "pipeline events on"
	case ChangeTLS:
		return "TLS verification on"
	case ChangeToken:
		return "secret token"
	case ChangeSigningToken:
		return "signing token"
	case ChangeTemplate:
		return "custom template off"
	case ChangeBranchFilter:
		return "branch filter off"
	}
	return string(c)
}

// Plan is what is to be done with the webhooks of an owner.
type Plan struct {
	Found
	Ours      *gitlab.Hook  // the webhook that is judged; nil: there is none
	Doubles   []gitlab.Hook // further ones at the same address
	Elsewhere []gitlab.Hook // of such services at other addresses
	Create    bool
	Changes   []Change // of Ours
	// Test is set if a test delivery has to show that the webhook works: GitLab has
	// disabled it, or its last delivery failed.
	Test bool
	// RotateAbove is set if the secrets of the webhook above are to be rotated, for which its
	// group has to be named.
	RotateAbove bool
	// Yielded is set if the webhook that was created is removed again, for one that another
	// run created at the same time.
	Yielded bool
	// Unsigned is set if only a signing token is configured, and GitLab signs nothing.
	Unsigned bool
}

// Nothing reports whether there is nothing to do.
func (p Plan) Nothing() bool { return !p.Create && len(p.Changes) == 0 && !p.Test }

// Plan compares what was found with what is wanted.
func (w Wanted) Plan(found Found) Plan {
	p := Plan{Found: found, RotateAbove: w.Rotate && found.Above != nil}
	var all []gitlab.Hook
	for _, h := range found.Hooks {
		switch w.place(h) {
		case ours:
			all = append(all, h)
		case elsewhere:
			p.Elsewhere = append(p.Elsewhere, h)
		case others:
		}
	}
	if len(all) == 0 {
		p.Create = found.Above == nil && w.URL != "" && !w.KeepOnly
		return p
	}
	// The one that sends, and needs the fewest changes; of several the oldest.
	slices.SortFunc(all, func(a, b gitlab.Hook) int { return cmp.Or(w.defects(a)-w.defects(b), cmp.Compare(a.ID, b.ID)) })
	p.Ours, p.Doubles = &all[0], all[1:]
	if found.Above != nil { // it should not be here: nothing is repaired
		return p
	}
	deliveries := found.Deliveries[p.Ours.ID]
	p.Changes = w.changes(*p.Ours, deliveries)
	p.Test = !p.Ours.Sends() || deliveries.Failing
	p.Unsigned = w.Token == "" && w.SigningToken != "" && p.Ours.HasSigningToken == gitlab.Unknown
	return p
}

// defects counts what is wrong with a webhook.
func (w Wanted) defects(h gitlab.Hook) int {
	n := len(w.changes(h, Deliveries{}))
	if !h.Sends() {
		n++
	}
	return n
}

// changes returns the settings of a webhook that differ from what is wanted.
func (w Wanted) changes(h gitlab.Hook, d Deliveries) []Change {
	var changes []Change
	add := func(c Change, wrong bool) {
		if wrong {
			changes = append(changes, c)
		}
	}
	address := h.URL
	if w.URL != "" && !sameURL(h.URL, w.URL) {
		address = w.URL
	}
	// Of a webhook that was disabled longer ago than deliveries are listed, a wrong secret
	// may be the cause.
	refused := w.Rotate || d.Failing && d.LastStatus == unauthorized || !h.Sends() && d.LastStatus == ""
	add(ChangeURL, address != h.URL)
	add(ChangeJobEvents, !h.JobEvents)
	add(ChangePipelineEvents, !h.PipelineEvents)
	add(ChangeTLS, !h.VerifiesTLS && usesTLS(address))
	add(ChangeToken, w.Token != "" && (refused || h.HasToken == gitlab.Absent))
	add(ChangeSigningToken, w.SigningToken != "" && (refused || h.HasSigningToken == gitlab.Absent))
	add(ChangeTemplate, h.Template)
	// The filter is about push events alone. Where somebody wants those, it is theirs.
	add(ChangeBranchFilter, h.FiltersBranches && !h.PushEvents)
	return changes
}

// settings returns what is written to create our webhook, or with a hook to change it.
// The secrets are always written: another URL makes GitLab forget the token.
func (w Wanted) settings(h *gitlab.Hook, changes []Change) gitlab.HookSettings {
	on, off, none := true, false, ""
	if h == nil {
		return gitlab.HookSettings{
			URL: w.URL, Name: "Pipesteward", Description: "Reports jobs and pipelines to Pipesteward. Its command `hooks ensure` maintains this webhook.",
			JobEvents: &on, PipelineEvents: &on, PushEvents: &off, VerifiesTLS: &on, Token: w.Token, SigningToken: w.SigningToken,
		}
	}
	s := gitlab.HookSettings{URL: h.URL, Token: w.Token, SigningToken: w.SigningToken}
	for _, c := range changes {
		switch c {
		case ChangeURL:
			s.URL = w.URL
		case ChangeJobEvents:
			s.JobEvents = &on
		case ChangePipelineEvents:
			s.PipelineEvents = &on
		case ChangeTLS:
			s.VerifiesTLS = &on
		case ChangeTemplate:
			s.Template = &none
		case ChangeBranchFilter:
			s.BranchFilter, s.FilterStrategy = &none, "all_branches"
		case ChangeToken, ChangeSigningToken: // they are written anyway
		}
	}
	return s
}
