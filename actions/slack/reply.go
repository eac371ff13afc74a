package slack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
)

const (
	// replyFor is how long Slack takes replies to a request
	// (docs.slack.dev/interactivity/handling-user-interaction).
	replyFor = 30 * time.Minute
	// maxReply bounds the text of a reply, in characters and in bytes: Slack splits longer
	// ones.
	maxReply = 4000
	// maxReplyAnswer is how many bytes of Slack's answer are read.
	maxReplyAnswer = 4 << 10
)

// Reply answers a request at its ReplyURL: to the person alone, unless it is Public. Slack
// takes 5 replies within 30 minutes. A Public one that comes later is posted in the thread of
// the button's message, once for each request; another one is dropped. So is a reply to a request
// without a ReplyURL.
//
// The error is an [*Error], which says whether to try again. It never has the ReplyURL,
// which is a secret.
func (n *Notifier) Reply(ctx context.Context, r chatops.Request, reply chatops.Reply) error {
	late := n.now().Sub(r.ReceivedAt) > replyFor
	if thread := cmp.Or(r.At.Thread, r.At.Message); late && reply.Public && thread != "" {
		id := "reply:" + r.ID
		return n.turn(ctx, r.At.Channel, id, func(w *turn) error { return w.announce(ctx, id, thread, reply.Text) })
	}
	if r.ReplyURL == "" || late {
		n.log.DebugContext(ctx, "reply to a request in Slack dropped, because it is too late", "record", r.ID)
		return nil
	}
	if !n.takesReplies(r.ReplyURL) {
		return &Error{Method: "reply", Code: "invalid_url", advice: "the request names an address for replies that is not Slack's"}
	}
	kind := "ephemeral"
	if reply.Public {
		kind = "in_channel"
	}
	body, err := json.Marshal(struct {
		Text    string `json:"text"`
		Type    string `json:"response_type"`
		Replace bool   `json:"replace_original"`
		Thread  string `json:"thread_ts,omitempty"`
	}{mrkdwn.Cut(reply.Text, maxReply, maxReply), kind, false, r.At.Thread})
	if err != nil {
		return &Error{Method: "reply", Code: "invalid_reply", advice: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	err = n.postReply(ctx, r.ReplyURL, body)
	if refused, is := errors.AsType[slackapi.SlackErrorResponse](err); is && (refused.Err == "expired_url" || refused.Err == "used_url") {
		n.log.DebugContext(ctx, "reply to a request in Slack dropped, because Slack takes no more", "record", r.ID, "reason", refused.Err)
		return nil
	}
	if err != nil {
		return n.failed("reply", r.At.Channel, err)
	}
	return nil
}

// takesReplies reports whether an address is one at which Slack takes replies: of the host
// hooks.slack.com, or of that of an API that is not Slack's own.
func (s *sessions) takesReplies(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		return false
	}
	if u.Scheme == "https" && (u.Host == "hooks.slack.com" || u.Host == "hooks."+s.base.Host) {
		return true
	}
	return u.Scheme == s.base.Scheme && u.Host == s.base.Host
}

// postReply posts a reply. Its error has no address.
func (n *Notifier) postReply(ctx context.Context, address string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address for replies can't be used")
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := n.http.Do(r)
	if failed, is := errors.AsType[*url.Error](err); is {
		return &url.Error{Op: failed.Op, URL: "the request's response_url", Err: failed.Err}
	}
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // all of it is read, or not wanted
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyAnswer))
	if err != nil {
		return err
	}
	return refusalOf(resp, text)
}

// refusalOf returns the error of Slack's answer to a reply: "ok", or JSON as that of the
// Web API, or the bare code of an error.
func refusalOf(resp *http.Response, text []byte) error {
	var answer slackapi.SlackResponse
	isJSON := json.Unmarshal(text, &answer) == nil
	code := answer.Error
	if !isJSON && strings.HasSuffix(strings.TrimSpace(string(text)), "_url") {
		code = strings.TrimSpace(string(text))
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 without one
		return &slackapi.RateLimitedError{RetryAfter: time.Duration(seconds) * time.Second}
	case code != "":
		return slackapi.SlackErrorResponse{Err: code}
	case resp.StatusCode != http.StatusOK:
		return slackapi.StatusCodeError{Code: resp.StatusCode, Status: resp.Status}
	}
	return nil
}
