package slack

import (
	"context"
	"errors"
	"fmt"
	"time"

	slackapi "github.com/slack-go/slack"
)

// The metadata of every post: the id of its outcome or announcement, by which the
// post is found again.
const (
	eventType = "pipesteward"
	payloadID = "id"
)

const (
	// skew is the most that Slack's clock and ours may differ.
	skew = 5 * time.Minute
	// pageSize is how many messages are requested at once; Slack may return
	// fewer.
	pageSize = 200
)

// find searches Slack for the post of m.Posting and returns its channel's id and
// its ts, both "" if Slack does not have it. If the bot can't search this channel, the
// post counts as missing; while it can call nothing, the search waits.
func (w *turn) find(ctx context.Context, m *record) (channel, ts string, err error) {
	channel = m.Channel
	if channel == "" {
		channel, err = w.lookUp(ctx)
	}
	if err == nil {
		ts, err = w.search(ctx, channel, m)
	}
	e, failed := errors.AsType[*Error](err)
	switch {
	case failed && e.gone():
		return "", "", nil
	case failed && (!e.again && !e.Everywhere() || e.Code == unexpected): // another search would fail the same way
		w.blind.Do(func() {
			w.log.WarnContext(ctx, "can't read the history of a Slack channel, so a post may appear twice after a crash: "+
				"give the app the scopes channels:history, groups:history, channels:read and groups:read, and invite it to the channel",
				"channel", w.channel, "error", err)
		})
		return "", "", nil
	case failed:
		return "", "", err
	case ts == "":
		return "", "", nil
	}
	return channel, ts, nil
}

// lookUp returns the id of the turn's channel. The bot must be a member: it can't
// read the history of other channels.
func (w *turn) lookUp(ctx context.Context) (string, error) {
	if isID(w.channel) {
		return w.channel, nil
	}
	for cursor := ""; ; {
		call, cancel := context.WithTimeout(ctx, callFor)
		channels, next, err := w.api().GetConversationsForUserContext(call, &slackapi.GetConversationsForUserParameters{
			Cursor: cursor, Limit: pageSize, Types: []string{"public_channel", "private_channel"}, ExcludeArchived: true,
		})
		cancel()
		if err != nil {
			return "", w.failed("users.conversations", err)
		}
		for _, c := range channels {
			if c.Name == w.channel {
				return c.ID, nil
			}
		}
		if next == "" {
			return "", w.failed("users.conversations", slackapi.SlackErrorResponse{Err: "not_in_channel"})
		}
		cursor = next
	}
}

// search returns the ts of the post of m.Posting, "" if it is not in the channel,
// or for a reply in the thread. It must have been posted within callFor after
// m.Posting.Since, so only that time is searched.
func (w *turn) search(ctx context.Context, channel string, m *record) (string, error) {
	oldest, latest := timestamp(m.Posting.Since.Add(-skew)), timestamp(m.Posting.Since.Add(callFor+claimFor+skew))
	for cursor := ""; ; {
		call, cancel := context.WithTimeout(ctx, callFor)
		messages, next, err := w.page(call, channel, m.TS, oldest, latest, cursor)
		cancel()
		if err != nil {
			return "", err
		}
		for _, message := range messages {
			if message.Metadata.EventType == eventType && message.Metadata.EventPayload[payloadID] == m.Posting.ID {
				return message.Timestamp, nil
			}
		}
		if next == "" {
			return "", nil
		}
		cursor = next
	}
}

// page reads one page of the thread, or of the channel if thread is "".
func (w *turn) page(ctx context.Context, channel, thread, oldest, latest, cursor string) ([]slackapi.Message, string, error) {
	if thread != "" {
		messages, _, next, err := w.api().GetConversationRepliesContext(ctx, &slackapi.GetConversationRepliesParameters{
			ChannelID: channel, Timestamp: thread, Oldest: oldest, Latest: latest, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
		})
		if err != nil {
			return nil, "", w.failed("conversations.replies", err)
		}
		return messages, next, nil
	}
	answer, err := w.api().GetConversationHistoryContext(ctx, &slackapi.GetConversationHistoryParameters{
		ChannelID: channel, Oldest: oldest, Latest: latest, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
	})
	if err != nil {
		return nil, "", w.failed("conversations.history", err)
	}
	return answer.Messages, answer.ResponseMetaData.NextCursor, nil
}

// timestamp formats a time as Slack does.
func timestamp(t time.Time) string {
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}
