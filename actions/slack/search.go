package slack

import (
	"context"
	"errors"
	"fmt"
	"time"

	slackapi "github.com/slack-go/slack"
)

// The metadata that every post carries: the id of what it tells, by which a
// post is found again.
const (
	eventType = "pipesteward"
	payloadID = "id"
)

const (
	// skew is how far Slack's clock and ours may be apart.
	skew = 5 * time.Minute
	// pageSize is how many messages are asked for at once; Slack may give
	// fewer.
	pageSize = 200
)

// find looks in Slack for the post that m.Posting announces and gives its
// channel's id and its ts, both "" if it is not there. If the bot can't
// look, it is taken not to be there.
func (w *work) find(ctx context.Context, m *record) (channel, ts string, err error) {
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
	case failed && (!e.again || e.Code == unexpected): // another look would end the same
		w.blind.Do(func() {
			w.log.WarnContext(ctx, "can't read the history of a Slack channel, so something may be told twice after a crash: "+
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

// lookUp gives the id of the work's channel. The bot must be a member: it
// can't read the history of others.
func (w *work) lookUp(ctx context.Context) (string, error) {
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

// search gives the ts of the announced post, "" if it is not in the channel,
// or in the thread if it was to be a reply. It must have come within callFor
// of its announcement, so only that time is searched.
func (w *work) search(ctx context.Context, channel string, m *record) (string, error) {
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
func (w *work) page(ctx context.Context, channel, thread, oldest, latest, cursor string) ([]slackapi.Message, string, error) {
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

// timestamp is a time as Slack writes it.
func timestamp(t time.Time) string {
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}
