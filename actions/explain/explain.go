// Package explain says for each rule why it does or doesn't match an event: that of a hook's
// body, or of a job or a pipeline as GitLab has it now. It changes nothing.
package explain

import (
	"context"
	"errors"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// ErrNoGitLab says that a job can't be read.
var ErrNoGitLab = errors.New("the job is read from GitLab: give --gitlab-token, an access token with scope read_api")

// GitLab reads the event of a page.
type GitLab interface {
	// ParsePage finds out what an address is of; its error is a *gitlab.PageError.
	ParsePage(ctx context.Context, address string) (gitlab.Page, error)
	// PageEvent returns the event that a webhook would cause for a job or a pipeline now.
	PageEvent(ctx context.Context, page gitlab.Page, source string) (event.Event, error)
}

// Explainer explains events.
type Explainer struct {
	Rules  func() (*rules.Rules, error)
	GitLab GitLab // nil: there is no token for it
	// Facts returns what conditions request of GitLab, for one event.
	Facts func() expression.Facts
	// Decode decodes the body of a job or pipeline hook.
	Decode func(body []byte) (event.Event, error)
	Now    func() time.Time
}

// Explained is what the rules make of an event.
type Explained struct {
	Event event.Event     `json:"event"`
	Rules []rules.Verdict `json:"rules"` // in file order
	// Unknown are the fields that rules read and GitLab's API does not tell.
	Unknown []UnknownField `json:"unknown,omitempty"`
}

// UnknownField is a field of the event that has no value although the event of a hook may
// have one.
type UnknownField struct {
	Field string   `json:"field"`
	Rules []string `json:"rules"` // that read it
}

// Hook explains the event of a hook's body, as if it came now. The event gets the id.
// Errors are those of Rules and of Decode.
func (x Explainer) Hook(ctx context.Context, body []byte, id string) (Explained, error) {
	loaded, err := x.Rules()
	if err != nil {
		return Explained{}, err
	}
	e, err := x.Decode(body)
	if err != nil {
		return Explained{}, err
	}
	e.Meta.ID, e.Meta.Source, e.Meta.ReceivedAt = id, event.SourceWebhook, x.Now().UTC()
	return Explained{Event: e, Rules: loaded.Explain(ctx, e, x.Facts())}, nil
}

// Page explains the event of a job's or a pipeline's page, as GitLab has it now. Besides
// those of Rules, errors are ErrNoGitLab, *gitlab.PageError and those of GitLab.
func (x Explainer) Page(ctx context.Context, address string) (Explained, error) {
	loaded, err := x.Rules()
	if err != nil {
		return Explained{}, err
	}
	if x.GitLab == nil {
		return Explained{}, ErrNoGitLab
	}
	page, err := x.GitLab.ParsePage(ctx, address)
	if err != nil {
		return Explained{}, err
	}
	e, err := x.GitLab.PageEvent(ctx, page, event.SourceWebhook)
	if err != nil {
		return Explained{}, err
	}
	return Explained{e, loaded.Explain(ctx, e, x.Facts()), unknownFields(loaded, e)}, nil
}

// unknownFields returns the fields of an event from GitLab's API that rules read and that
// the API does not tell.
func unknownFields(loaded *rules.Rules, e event.Event) []UnknownField {
	var unknown []UnknownField
	for _, field := range gitlab.NotInAPI(e) {
		if readers := loaded.Readers(e.Meta.Kind, field); len(readers) > 0 {
			unknown = append(unknown, UnknownField{field, readers})
		}
	}
	return unknown
}
