package rights

import (
	"context"
	"errors"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Acting tells who may act on jobs and pipelines, with all that GitLab runs then: see
// TargetOf.
type Acting struct {
	Rights interface {
		MayOn(ctx context.Context, p chatops.Person, on chatops.Target, does string) (refusal chatops.Refusal, err error)
	}
	GitLab *gitlab.Client
}

// MayAct returns why a person may not do something, a Button constant of chatops, to an
// event's job, or with pipeline to its whole pipeline; nil: the person may.
func (a Acting) MayAct(ctx context.Context, p chatops.Person, e event.Event, pipeline bool, does string) (refusal chatops.Refusal, err error) {
	on, err := TargetOf(ctx, a.GitLab, e, pipeline, does)
	if err != nil {
		return nil, err
	}
	return a.Rights.MayOn(ctx, p, on, does)
}

// buttons are what the verbs of decisions need the rights for, which people request or
// confirm.
var buttons = map[string]string{
	event.VerbRetry: chatops.ButtonRetry, event.VerbRetryPipeline: chatops.ButtonRetry,
	event.VerbPlay:   chatops.ButtonPlay,
	event.VerbCancel: chatops.ButtonCancel, event.VerbCancelPipeline: chatops.ButtonCancel,
	event.VerbErase: chatops.ButtonErase,
}

// Lost returns why a person who requested or confirmed a decision may not do so any more, in
// English; "": the person may. What a lookup does not tell, whatever the reason is, is an
// error: it takes no rights away.
func (a Acting) Lost(ctx context.Context, by event.Requester, d event.Decision) (refusal string, err error) {
	refused, err := a.MayAct(ctx, chatops.PersonOf(by), d.Origin(), event.OfPipeline(d.Action.Verb), buttons[d.Action.Verb])
	if err != nil || refused == nil {
		return "", err
	}
	text, err := refused.Text(words.Plain)
	if err == nil && failed(refused) {
		return "", errors.New(text)
	}
	return text, err
}

// failed reports whether a refusal says, alone or after another one, that a lookup failed.
func failed(refusal chatops.Refusal) bool {
	switch r := refusal.(type) {
	case sentence:
		_, is := r.data.(failure)
		return is || r.block == "refused_operator_unknown"
	case both:
		return failed(r[0]) || failed(r[1])
	}
	return false
}
