// Package requests carries out what people request from Slack: the records of package
// chatops.
//
//	request ──► may the person? ──► a decision, which the queue carries out ──► its outcome is the reply
//	                            ├─► a mute, a pause, a resumption, in the list of changes ──► reply
//	                            └─► something to read ──► reply
//
// A retry, a play, a cancel and an erase are decisions without a rule: package actions
// carries them out with its guards. In one step, the decision is queued, it is noted who
// requested it first, and the request becomes one that waits for the outcome. So it is with a
// mute, a pause and a resumption: in one step, it is in force and in the list of changes, and
// the request becomes one of which only the reply is to come. The other steps can be repeated: after a crash, a person may read the same reply twice, but
// nothing is done twice.
//
//	requests.go  the steps of a record, and what is said when they fail
//	late.go      requests that come too late; elsewhere.go: where they are off
//	pace.go      how many requests a person may make; order.go: in which order they are carried out
//	button.go    the buttons
//	decision.go  the decisions that people request, and who was first
//	outcome.go   the reply once a decision has ended
//	steering.go  mutes, pauses and resumptions; step.go: all that one changes, in one step
//	reading.go   the log excerpt, the story, the status
//	command.go   the slash command; parse.go its words
//
// All texts are blocks of package words: those after a button are in the language of its
// message, those after a command in that of the rule files.
package requests

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// patience is how long a request is tried again before the person reads that it failed.
	patience = 2 * time.Minute
	// replyable is how long Slack takes replies to a request: less than the 30 minutes after
	// which its response_url expires.
	replyable = 29 * time.Minute
	// postable is how long what all in the channel are to read is tried to be posted, if Slack
	// takes no reply any more.
	postable = 24 * time.Hour
	// followed is how long the outcome of a request is awaited: then there is time to say that
	// there is none yet.
	followed = 28 * time.Minute
	// steeringTimeout bounds a change of pauses or mutes: the request is tried again after that.
	steeringTimeout = time.Second
	// reportTimeout bounds the making of a report, as that of the admin API.
	reportTimeout = 18 * time.Second
	// busyRetry is how long a request waits while the slow lane is full.
	busyRetry = time.Second
	// maxRequests is how many requests to GitLab one request of a person may cost.
	maxRequests = 30
)

// Rights says who may do what.
type Rights interface {
	// Outsider returns why the person may do nothing at all; nil if that depends. It asks
	// Slack only. An error is no permission.
	Outsider(ctx context.Context, p chatops.Person) (refusal chatops.Refusal, err error)
	// MayOn returns why the person may not do something, a Button or Command constant of
	// package chatops, to the target; nil if they may. An error is no permission.
	MayOn(ctx context.Context, p chatops.Person, to chatops.Target, does string) (refusal chatops.Refusal, err error)
}

// Replier replies to requests in Slack.
type Replier interface {
	Reply(ctx context.Context, to chatops.Request, r chatops.Reply) error
}

// Maker makes decisions.
type Maker interface {
	// Requested returns the record of a decision that a person requests, and its id in the
	// journal.
	Requested(d event.Decision) (record store.Record, id string, err error)
}

// Storyteller tells what happened to a job or a pipeline, in a language.
type Storyteller interface {
	Build(ctx context.Context, address, language string) (story.Story, error)
}

// Answerer answers the buttons of a question whether a job is to be played.
type Answerer interface {
	Answer(ctx context.Context, r chatops.Request) (chatops.Reply, error)
}

// Reporter reports, as text in a style, how retries have helped for that long.
type Reporter interface {
	Report(ctx context.Context, since time.Duration, in words.Style) (string, error)
}

// Store is the part of the store that a Handler uses.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Entry(ctx context.Context, id string) (*store.Entry, error)
	Depth(ctx context.Context) (store.Depth, error)
	Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error)
	Records(ctx context.Context, cursor string, n int) (records []store.QueuedRecord, next string, err error)
}

// Handler carries out requests. All fields but Confirmations and Reports are required.
type Handler struct {
	Store   Store
	GitLab  *gitlab.Client
	Rights  Rights
	Replies Replier
	Maker   Maker
	Stories Storyteller
	Pauses  pause.Pauses
	Mutes   pause.Mutes
	Rules   func() *rules.Rules // those in force
	// Confirmations answers the buttons confirm and reject; nil: no message has those.
	Confirmations Answerer
	// Reports has the command report; nil: there is no such command.
	Reports Reporter
	Now     func() time.Time
	Log     *slog.Logger
}

// Record is the body of a request's record.
type Record struct {
	chatops.Request
	// Decision is the id in the journal of the decision that the request has become; ""
	// before.
	Decision string    `json:"decision,omitzero"`
	Queued   time.Time `json:"queued,omitzero"`     // when the decision was queued
	Counted  bool      `json:"counted,omitzero"`    // the request is counted among those of the person
	Waits    string    `json:"waits_told,omitzero"` // why the decision waits, as the person was told
	// Said is the reply to a request that has been carried out; nil: it has not, or its outcome
	// is the reply.
	Said *chatops.Reply `json:"said,omitempty"`
}

// answer is what comes of a request: a reply, unless it becomes a decision.
type answer struct {
	chatops.Reply
	decision *event.Decision
	step     *step // what it changes; nil: nothing
}

// say returns an answer to the person alone.
func say(text string) answer { return answer{Reply: chatops.Reply{Text: text}} }

// sayIn returns an answer to the person alone, a block of package words.
func sayIn(in words.Style, block string, data any) (answer, error) {
	text, err := in.Say(block, data)
	return say(text), err
}

// public returns an answer to all in the channel, a block of package words.
func public(in words.Style, block string, data any) (answer, error) {
	text, err := in.Say(block, data)
	return answer{Reply: chatops.Reply{Text: text, Public: true}}, err
}

// adding returns the answer with a sentence at its end.
func (a answer) adding(sentence string) answer {
	if a.Text != "" && sentence != "" {
		a.Text += " " + sentence
	}
	return a
}

// Handle carries a request one step on.
func (h *Handler) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	tracing.Request(ctx, does(rec.Request))
	if !l.EnterSlowLane() {
		return errBusy
	}
	switch {
	case rec.Decision != "":
		return h.follow(ctx, l, rec)
	case rec.Said != nil:
		return h.end(ctx, l, rec.Request, *rec.Said)
	}
	if h.stale(rec.Request) {
		return h.refuseStale(ctx, l, rec.Request)
	}
	if goOn, err := h.paced(ctx, l, &rec); err != nil || !goOn {
		return err
	}
	if err := h.inTurn(ctx, rec.Request); err != nil {
		return err
	}
	a, err := h.carryOut(ctx, rec.Request)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && h.mayWait(err, rec.Request):
		return err
	case err != nil:
		h.Log.ErrorContext(ctx, "a request from Slack failed", "by", rec.By.Requester().String(), "action", does(rec.Request), "error", err)
		if a, err = sayIn(h.styleOf(rec.Request), "command_failed", quoted(apierror.Words(err))); err != nil {
			return err
		}
	case a.step.changed():
		return h.change(ctx, l, rec.Request, a)
	case a.decision != nil:
		if a, err = h.queue(ctx, l, rec.Request, *a.decision); err != nil || a.Text == "" {
			return err
		}
	}
	return h.end(ctx, l, rec.Request, a.Reply)
}

// end replies to a request, unless there is nothing to say, and ends it.
func (h *Handler) end(ctx context.Context, l *worker.Lease, r chatops.Request, said chatops.Reply) error {
	if said.Text != "" {
		if err := h.reply(ctx, r, said); err != nil {
			return err
		}
	}
	return l.Done(ctx)
}

// carryOut does what a request says, or returns the decision to do it.
func (h *Handler) carryOut(ctx context.Context, r chatops.Request) (answer, error) {
	if wantsHelp(r) { // it is the same for everybody
		return h.helpCommand(ctx, r, nil)
	}
	refusal, err := h.Rights.Outsider(ctx, r.By)
	switch {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		h.Log.WarnContext(ctx, "a request from Slack is refused", "by", r.By.Requester().String(), "action", does(r), "reason", reasonOf(refusal))
		return h.refused(r, refusal)
	}
	if r.Button != nil {
		return h.button(ctx, r, *r.Button)
	}
	return h.command(ctx, r)
}

// mayWait reports whether a request is tried again after an error. The person does not
// wait for the end of an outage of GitLab, or for what no repetition mends.
func (h *Handler) mayWait(err error, r chatops.Request) bool {
	var final *apierror.Error
	if event.Unavailable(err) || errors.As(err, &final) && !event.Transient(err) {
		return false
	}
	return h.Now().Sub(r.ReceivedAt) < patience
}

// errBusy is the error of what must wait because as much as may be waits for Slack or GitLab.
var errBusy = &worker.LaterError{Err: errors.New("as many calls to Slack and GitLab are in progress as may be"), After: busyRetry}

// reply replies to a request, whose record is in the slow lane. The error is one after which a later reply may succeed.
func (h *Handler) reply(ctx context.Context, r chatops.Request, reply chatops.Reply) error {
	sending, end := tracing.Notification(ctx, event.ReceiverSlack)
	err := h.Replies.Reply(sending, r, reply)
	end(err)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case event.Transient(err) && h.Now().Sub(r.ReceivedAt) < repliesEnd(r, reply):
		return err
	default:
		h.Log.WarnContext(ctx, "a reply to a request from Slack can't be sent", "by", r.By.Requester().String(), "action", does(r), "error", err)
	}
	return nil
}

// repliesEnd is how long after a request its reply is tried: one to all is posted in the thread
// of a button's message, after Slack takes no replies to the request.
func repliesEnd(r chatops.Request, reply chatops.Reply) time.Duration {
	if reply.Public && r.At.Message != "" {
		return postable
	}
	return replyable
}

// may returns the refusal for a person who may not do something; nil if they may.
func (h *Handler) may(ctx context.Context, r chatops.Request, to chatops.Target, what string) (refusal chatops.Refusal, err error) {
	refusal, err = h.Rights.MayOn(ctx, r.By, to, what)
	if refusal != nil && err == nil {
		h.Log.WarnContext(ctx, "a request from Slack is refused", "by", r.By.Requester().String(), "action", what, "project_id", to.Project, "reason", reasonOf(refusal))
	}
	return refusal, err
}

// anyJob is a target that nothing but the project protects: who may not act on it may act on no
// job of the project. It is compared first, as it costs many requests to find out what a retry
// runs.
func anyJob(project int64) chatops.Target {
	return chatops.Target{Project: project, AllEnvironments: true}
}

// mayIfSeen is may for what the person has named; hidden: they may not even see it.
func (h *Handler) mayIfSeen(ctx context.Context, r chatops.Request, to chatops.Target, what string) (refusal chatops.Refusal, hidden bool, err error) {
	refusal, err = h.may(ctx, r, to, what)
	if err != nil || refusal == nil {
		return nil, false, err
	}
	unseen, err := h.Rights.MayOn(ctx, r.By, chatops.Target{Project: to.Project}, chatops.ButtonWhy)
	return refusal, unseen != nil, err
}

// refused is the answer that a person may not do something.
func (h *Handler) refused(r chatops.Request, refusal chatops.Refusal) (answer, error) {
	text, err := refusal.Text(h.styleOf(r))
	return say(text), err
}

// reasonOf returns a refusal in English, for the log.
func reasonOf(refusal chatops.Refusal) string {
	text, err := refusal.Text(words.Plain)
	if err != nil {
		return err.Error()
	}
	return text
}

// does returns what a request is, for the log.
func does(r chatops.Request) string {
	if r.Button != nil {
		return r.Button.Does
	}
	return "command"
}

// maxQuoted bounds a text of others in a reply, in bytes.
const maxQuoted = 1000

// quoted returns a text of others as it can stand in a reply.
func quoted(text string) string { return mrkdwn.Brief(text, maxQuoted) }
