package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// How long to wait before the next try.
const (
	stateAgain = 5 * time.Second  // the store failed
	slackAgain = 30 * time.Second // Slack failed without a Retry-After
)

// unexpected is the code of an answer that is JSON, but not the one that the
// method promises.
const unexpected = "unexpected_answer"

var errNoAnswer = errors.New("the answer lacks the ts of the message")

// Error says why a notification failed, and how to fix that. It never contains the
// token.
type Error struct {
	Method  string // Slack's method, or the step that failed
	Channel string // as the caller named it, without '#'
	Code    string // Slack's error code, or ours

	advice  string
	mend    mendable
	again   bool
	after   time.Duration
	unsure  bool // the call may have taken effect, or may yet
	silent  bool // no answer came, or none of Slack's
	cause   error
	network error // of the connection, if it gave no answer
}

// Error names the method, the channel and the code, and gives advice.
func (e *Error) Error() string {
	where := ""
	if e.Channel != "" && !e.Everywhere() {
		where = " in " + address(e.Channel)
	}
	return fmt.Sprintf("slack: %s%s: %s: %s", e.Method, where, e.Code, e.advice)
}

// Advice says what to do about it.
func (e *Error) Advice() string { return e.advice }

// Again reports whether to try again, and the least time to wait before.
func (e *Error) Again() (after time.Duration, ok bool) { return e.after, e.again }

// MaybeDone reports whether the call may have taken effect, or may yet.
func (e *Error) MaybeDone() bool { return e.unsure }

// Mendable reports whether a person can mend the cause in Slack or in its app: the same
// call succeeds after that.
func (e *Error) Mendable() bool { return e.mend != inNoWay }

// Everywhere reports whether no call succeeds before that is mended, whatever its channel.
func (e *Error) Everywhere() bool { return e.mend == inApp }

// Silent reports whether Slack as a whole seems to be unreachable: it did not
// answer, or another server did.
func (e *Error) Silent() bool { return e.silent }

// Network returns the error of a connection that gave no answer; nil: there was an
// answer.
func (e *Error) Network() error { return e.network }

// Unwrap returns context.Canceled or context.DeadlineExceeded if that was the
// cause, or the store's error.
func (e *Error) Unwrap() error { return e.cause }

// gone reports whether the message or the thread no longer exists. A deleted
// message that has replies can no longer be edited either.
func (e *Error) gone() bool {
	return e.Code == "message_not_found" || e.Code == "thread_not_found" || e.Code == "cant_update_message"
}

func stateError(err error) *Error {
	return &Error{Method: "notify", Code: "store", advice: err.Error(), again: true, after: stateAgain, cause: err}
}

// mendable is where a person can mend the cause of a refusal.
type mendable int

const (
	inNoWay   mendable = iota
	inChannel          // it concerns that channel only
	inApp              // it concerns every call: the token, the app or the workspace
)

// refusal says how to react to one of Slack's error codes.
type refusal struct {
	advice string // {channel} and {scope} are filled in
	mend   mendable
	again  bool
	unsure bool
}

// refusals are the error codes of the methods that are called here, as Slack's
// reference lists them. The set is open: a code that is missing here is final.
// A missing scope concerns the channel: another one may need another scope.
var refusals = map[string]refusal{
	"channel_not_found": {advice: "the bot sees no channel {channel}: correct the name, or if it is private invite the bot: /invite @pipesteward in {channel}", mend: inChannel},
	"not_in_channel":    {advice: "invite the bot: /invite @pipesteward in {channel}", mend: inChannel},
	"is_archived":       {advice: "{channel} is archived: unarchive it, or name another channel in the rule file", mend: inChannel},
	"is_inactive":       {advice: "{channel} is archived or frozen: unarchive it, or name another channel in the rule file", mend: inChannel},

	"restricted_action":                        {advice: "a setting of the workspace keeps the bot from posting in {channel}: ask an owner, or name another channel", mend: inChannel},
	"restricted_action_read_only_channel":      {advice: "{channel} is read-only: allow the bot to post, or name another channel", mend: inChannel},
	"restricted_action_thread_only_channel":    {advice: "{channel} takes replies only: name another channel", mend: inChannel},
	"restricted_action_non_threadable_channel": {advice: "{channel} has no threads: name another channel", mend: inChannel},
	"ekm_access_denied":                        {advice: "the administrators have suspended posting in {channel}: ask them", mend: inChannel},

	"not_authed":              {advice: "Slack got no token: set --slack-token", mend: inApp},
	"invalid_auth":            {advice: "the bot token is not valid here: copy it anew from the app's page \"OAuth & Permissions\" to --slack-token", mend: inApp},
	"account_inactive":        {advice: "the bot or its workspace was removed: install the app again and set --slack-token", mend: inApp},
	"token_revoked":           {advice: "the bot token was revoked: install the app again and set --slack-token", mend: inApp},
	"token_expired":           {advice: "the bot token has expired: install the app again and set --slack-token", mend: inApp},
	"not_allowed_token_type":  {advice: "--slack-token must be a bot token (xoxb-…)", mend: inApp},
	"missing_scope":           {advice: "{scope} is missing: add it to the app's bot token scopes and install the app again", mend: inChannel},
	"no_permission":           {advice: "the bot lacks the permission: invite it to {channel} and check the app's scopes", mend: inChannel},
	"team_access_not_granted": {advice: "the app is not allowed in this workspace: ask the organization's administrators", mend: inApp},
	"access_denied":           {advice: "the app is not allowed in {channel}: ask an administrator", mend: inChannel},
	"accesslimited":           {advice: "Slack takes no calls from this network: ask an administrator", mend: inApp},

	"user_not_found":  {advice: "Slack has no such user"},
	"no_such_subteam": {advice: "Slack has no such user group: correct its handle or its id"},
	"no_service":      {advice: "Slack does not know the request that is answered"},

	"cannot_dm_bot":            {advice: "it is a bot, which takes no direct messages: name a channel"},
	"user_disabled":            {advice: "the user was deactivated in Slack: name a channel"},
	"user_not_visible":         {advice: "the bot may not see the user: name a channel"},
	"invalid_user_combination": {advice: "Slack opens no conversation with the user: name a channel"},

	"ratelimited":                {advice: "too many calls: tried again later", again: true},
	"rate_limited":               {advice: "too many messages: tried again later", again: true},
	"team_added_to_org":          {advice: "the workspace is being moved: tried again later", again: true},
	"org_login_required":         {advice: "the workspace is being moved: tried again later", again: true},
	"external_channel_migrating": {advice: "{channel} is being moved: tried again later", again: true},
	"service_unavailable":        {advice: "Slack is not available: tried again later", again: true, unsure: true},
	"request_timeout":            {advice: "Slack got only part of the request: tried again later", again: true},
	"update_failed":              {advice: "Slack failed to edit the message: tried again later", again: true, unsure: true},
	"internal_error":             {advice: "Slack failed: tried again later", again: true, unsure: true},
	"fatal_error":                {advice: "Slack failed: tried again later", again: true, unsure: true},
}

// failed makes an Error of the error of a call about the turn's channel.
func (w *turn) failed(method string, err error) *Error {
	return w.sessions.failed(method, w.channel, err)
}

// failed makes an Error of the error of a call about a channel; "": about none. It is
// the only place that classifies Slack's errors.
func (s *sessions) failed(method, channel string, err error) *Error {
	e := &Error{Method: method, Channel: channel}
	if limited, ok := errors.AsType[*slackapi.RateLimitedError](err); ok {
		r := refusals["ratelimited"]
		e.Code, e.advice, e.again, e.after = "ratelimited", r.advice, true, max(limited.RetryAfter, time.Second)
	} else if refused, ok := errors.AsType[slackapi.SlackErrorResponse](err); ok {
		e.refused(refused)
	} else if status, ok := errors.AsType[slackapi.StatusCodeError](err); ok {
		e.status(status)
	} else {
		e.unanswered(err)
	}
	e.redact(s.api().secrets...)
	return e
}

// redact hides secrets: Slack and proxies may repeat the request in their answer.
func (e *Error) redact(secrets ...string) {
	mask := redact.Known("[token]", secrets...)
	e.Code, e.advice = mask(e.Code), mask(e.advice)
}

// refused classifies an answer with "ok": false.
func (e *Error) refused(refused slackapi.SlackErrorResponse) {
	e.Code = refused.Err
	r, known := refusals[refused.Err]
	if !known {
		r.advice = strings.Join(append([]string{"Slack refused it"}, refused.ResponseMetadata.Messages...), ": ")
	}
	e.advice = strings.NewReplacer("{channel}", address(e.Channel), "{scope}", cmp.Or(refused.Needed, "a scope")).Replace(r.advice)
	e.mend, e.again, e.unsure = r.mend, r.again, r.unsure
	if e.again {
		e.after = slackAgain
	}
}

// status classifies an answer that is no JSON.
func (e *Error) status(status slackapi.StatusCodeError) {
	e.Code = fmt.Sprintf("http_%d", status.Code)
	switch {
	case status.Code == http.StatusTooManyRequests:
		e.advice, e.again, e.after = "too many calls: tried again later", true, slackAgain
	case status.Code >= http.StatusInternalServerError || status.Code == http.StatusRequestTimeout:
		e.advice, e.again, e.after, e.unsure, e.silent = "Slack failed: tried again later", true, slackAgain, true, true
	case status.Code == http.StatusRequestEntityTooLarge:
		e.advice = "the proxy takes no message that long: check its limit"
	default: // Slack answers all requests with JSON: a proxy, or a portal, is in between
		e.advice, e.mend = "this is not Slack's API: check --slack-api-url and the proxy", inApp
	}
}

// unanswered classifies a call that ended without an answer, or with one that
// can't be read.
func (e *Error) unanswered(err error) {
	e.Code, e.advice, e.again, e.after, e.unsure, e.silent = "network", err.Error(), true, slackAgain, true, true
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok || errors.Is(err, errNoAnswer) {
		e.Code = unexpected
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		e.network = err
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		e.unsure = false // nothing was sent
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			e.cause = cause
		}
	}
}
