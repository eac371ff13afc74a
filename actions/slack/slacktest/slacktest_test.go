package slacktest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	slackapi "github.com/slack-go/slack"
	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start gives a server and the client that Pipesteward uses.
func start(t *testing.T, options slacktest.Options) (*slacktest.Server, *slackapi.Client) {
	t.Helper()
	s, err := slacktest.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, client(t, s, "xoxb-1")
}

func client(t *testing.T, s *slacktest.Server, token string) *slackapi.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return slackapi.New(token, slackapi.OptionAPIURL(s.URL()), slackapi.OptionHTTPClient(&http.Client{Transport: transport}))
}

func post(t *testing.T, c *slackapi.Client, channel string, options ...slackapi.MsgOption) (id, ts string) {
	t.Helper()
	id, ts, err := c.PostMessageContext(t.Context(), channel, options...)
	if err != nil {
		t.Fatal(err)
	}
	return id, ts
}

func text(s string) slackapi.MsgOption { return slackapi.MsgOptionText(s, false) }

func section(s string) slackapi.Block {
	return slackapi.NewSectionBlock(slackapi.NewTextBlockObject("mrkdwn", s, false, true), nil, nil)
}

func TestMessagesAndThreads(t *testing.T) {
	var seen []string
	s, c := start(t, slacktest.Options{
		Now:       func() time.Time { return time.Unix(1_700_000_000, 0) },
		OnMessage: func(m slacktest.Message) { seen = append(seen, m.Plain()) },
	})
	metadata := slackapi.SlackMetadata{EventType: "test", EventPayload: map[string]any{"id": "1"}}
	id, root := post(t, c, "#ci", text("fallback"), slackapi.MsgOptionBlocks(section("*first*")), slackapi.MsgOptionMetadata(metadata))
	post(t, c, id, text("reply"), slackapi.MsgOptionTS(root))
	post(t, c, "ci", text("second"))
	if _, _, _, err := c.UpdateMessageContext(t.Context(), id, root, text("edited")); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]string{"first", "reply", "second", "edited"}, seen); diff != "" {
		t.Errorf("OnMessage saw (-want +got):\n%s", diff)
	}
	var got []string
	for _, m := range s.Messages("#ci") {
		got = append(got, fmt.Sprintf("%s %s %q thread %q edited %v blocks %d metadata %v", m.Channel, m.TS, m.Text, m.ThreadTS, m.Edited, len(m.Blocks), m.Metadata.EventPayload))
	}
	want := []string{
		`ci 1700000000.000000 "edited" thread "" edited true blocks 0 metadata map[id:1]`,
		`ci 1700000000.000001 "reply" thread "1700000000.000000" edited false blocks 0 metadata map[]`,
		`ci 1700000000.000002 "second" thread "" edited false blocks 0 metadata map[]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if s.Posts()[0].Text != "fallback" || len(s.Updates()) != 1 {
		t.Errorf("posts %+v, updates %+v", s.Posts(), s.Updates())
	}

	for all, want := range map[bool]string{true: "1", false: "<nil>"} {
		history, err := c.GetConversationHistoryContext(t.Context(), &slackapi.GetConversationHistoryParameters{ChannelID: id, IncludeAllMetadata: all})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(history.Messages); n != 2 || history.Messages[0].Text != "second" || fmt.Sprint(history.Messages[1].Metadata.EventPayload["id"]) != want {
			t.Errorf("history with metadata %v: %+v", all, history.Messages)
		}
	}
	replies, _, _, err := c.GetConversationRepliesContext(t.Context(), &slackapi.GetConversationRepliesParameters{ChannelID: id, Timestamp: root})
	if err != nil || len(replies) != 2 || replies[0].Text != "edited" || replies[1].ThreadTimestamp != root {
		t.Errorf("replies: %+v, %v", replies, err)
	}
}

func TestPages(t *testing.T) {
	_, c := start(t, slacktest.Options{Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	var id string
	for i := range 7 {
		id, _ = post(t, c, "#ci", text(strconv.Itoa(i)))
		post(t, c, "#other", text("noise"))
	}
	var got []string
	for cursor, pages := "", 0; ; pages++ {
		page, err := c.GetConversationHistoryContext(t.Context(), &slackapi.GetConversationHistoryParameters{
			ChannelID: id, Cursor: cursor, Limit: 2, Oldest: "1700000000.000000", Latest: "1700000000.000012",
		})
		if err != nil || pages > 3 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, m := range page.Messages {
			got = append(got, m.Text)
		}
		if cursor = page.ResponseMetaData.NextCursor; cursor == "" {
			break
		}
	}
	if want := []string{"5", "4", "3", "2", "1"}; !slices.Equal(got, want) { // neither end is included
		t.Errorf("pages give %v, want %v", got, want)
	}
	channels, _, err := c.GetConversationsForUserContext(t.Context(), &slackapi.GetConversationsForUserParameters{})
	if err != nil || len(channels) != 2 || channels[0].Name != "ci" || channels[0].ID != id {
		t.Errorf("channels %+v, %v", channels, err)
	}
}

func TestADeletedMessage(t *testing.T) {
	s, c := start(t, slacktest.Options{})
	id, root := post(t, c, "#ci", text("root"))
	if _, _, err := c.DeleteMessageContext(t.Context(), id, root); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.UpdateMessageContext(t.Context(), id, root, text("edited")); err == nil || err.Error() != "message_not_found" {
		t.Errorf("an edit gives %v", err)
	}
	if _, _, _, err := c.GetConversationRepliesContext(t.Context(), &slackapi.GetConversationRepliesParameters{ChannelID: id, Timestamp: root}); err == nil || err.Error() != "thread_not_found" {
		t.Errorf("its thread gives %v", err)
	}
	post(t, c, id, text("reply"), slackapi.MsgOptionTS(root))
	if m := s.Messages("ci"); len(m) != 1 || m[0].ThreadTS != "" {
		t.Errorf("a reply to it becomes %+v, want a message of its own", m)
	}
}

func option(text, value string) *slackapi.OptionBlockObject {
	return slackapi.NewOptionBlockObject(value, slackapi.NewTextBlockObject(slackapi.PlainTextType, text, false, false), nil)
}

// menu is a message with an overflow menu.
func menu(actionID string, options ...*slackapi.OptionBlockObject) slackapi.MsgOption {
	return slackapi.MsgOptionBlocks(slackapi.NewActionBlock("", slackapi.NewOverflowBlockElement(actionID, options...)))
}

// TestMenu: the options of the longest menu are listed with the buttons.
func TestMenu(t *testing.T) {
	s, good := start(t, slacktest.Options{Token: "xoxb-1"})
	id, value := strings.Repeat("i", 255), strings.Repeat("v", 149)
	if _, _, _, err := good.SendMessageContext(t.Context(), "#ci", menu(id, option("a", value+"1"), option("b", value+"2"), option("c", value+"3"), option("d", value+"4"), option(strings.Repeat("e", 75), value+"5"))); err != nil {
		t.Fatal(err)
	}
	buttons := s.Messages("ci")[0].Buttons()
	if len(buttons) != 5 || buttons[1] != (slacktest.Button{Text: "b", ActionID: id, Value: value + "2", Menu: true}) {
		t.Errorf("buttons %+v", buttons)
	}
}

func TestRefusals(t *testing.T) {
	s, good := start(t, slacktest.Options{Token: "xoxb-1"})
	long := strings.Repeat("x", 3001)
	many := make([]slackapi.Block, 51)
	for i := range many {
		many[i] = section("x")
	}
	tests := []struct {
		name    string
		client  *slackapi.Client
		channel string
		options []slackapi.MsgOption
		want    string
	}{
		{"another token", client(t, s, "xoxb-2"), "#ci", []slackapi.MsgOption{text("x")}, "invalid_auth"},
		{"a user's token", client(t, s, "xoxp-1"), "#ci", []slackapi.MsgOption{text("x")}, "invalid_auth"},
		{"no token", client(t, s, ""), "#ci", []slackapi.MsgOption{text("x")}, "not_authed"},
		{"unknown id", good, "C9999999999", []slackapi.MsgOption{text("x")}, "channel_not_found"},
		{"edit by channel name", good, "#ci", []slackapi.MsgOption{slackapi.MsgOptionUpdate("1.0"), text("x")}, "channel_not_found"},
		{"nothing to say", good, "#ci", nil, "no_text"},
		{"long text", good, "#ci", []slackapi.MsgOption{text(strings.Repeat("x", 40_001))}, "msg_too_long"},
		{"long section", good, "#ci", []slackapi.MsgOption{slackapi.MsgOptionBlocks(section(long))}, "invalid_blocks"},
		{"empty section", good, "#ci", []slackapi.MsgOption{slackapi.MsgOptionBlocks(section(""))}, "invalid_blocks"},
		{"many blocks", good, "#ci", []slackapi.MsgOption{slackapi.MsgOptionBlocks(many...)}, "invalid_blocks"},
		{"long blocks", good, "#ci", []slackapi.MsgOption{slackapi.MsgOptionBlocks(section(long[1:]), section(long[1:]), section(long[1:]), section(long[1:]), section(long[1:]))}, "msg_blocks_too_long"},
		{"menu of one option", good, "#ci", []slackapi.MsgOption{menu("id", option("text", "value"))}, "invalid_blocks"},
		{"menu of six options", good, "#ci", []slackapi.MsgOption{menu("id", option("a", "1"), option("b", "2"), option("c", "3"), option("d", "4"), option("e", "5"), option("f", "6"))}, "invalid_blocks"},
		{"menu without action_id", good, "#ci", []slackapi.MsgOption{menu("", option("a", "1"), option("b", "2"))}, "invalid_blocks"},
		{"menu with long action_id", good, "#ci", []slackapi.MsgOption{menu(long[:256], option("a", "1"), option("b", "2"))}, "invalid_blocks"},
		{"option without value", good, "#ci", []slackapi.MsgOption{menu("id", option("a", "1"), option("b", ""))}, "invalid_blocks"},
		{"option with long value", good, "#ci", []slackapi.MsgOption{menu("id", option("a", "1"), option("b", long[:151]))}, "invalid_blocks"},
		{"option with long text", good, "#ci", []slackapi.MsgOption{menu("id", option("a", "1"), option(long[:76], "2"))}, "invalid_blocks"},
		{"options with one value", good, "#ci", []slackapi.MsgOption{menu("id", option("a", "1"), option("b", "1"))}, "invalid_blocks"},
		{"metadata without type", good, "#ci", []slackapi.MsgOption{text("x"), slackapi.MsgOptionMetadata(slackapi.SlackMetadata{})}, "invalid_metadata_format"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, _, err := test.client.SendMessageContext(t.Context(), test.channel, test.options...)
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
	if len(s.Posts()) != 0 {
		t.Errorf("posts %+v", s.Posts())
	}
	if _, err := good.AuthTestContext(t.Context()); err != nil {
		t.Errorf("the right token: %v", err)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		fault slacktest.Fault
		want  string
	}{
		{slacktest.Fault{Status: 429, RetryAfter: 3 * time.Second}, "slack rate limit exceeded, retry after 3s"},
		{slacktest.Fault{Status: 502}, "slack server error: 502 Bad Gateway"},
		{slacktest.Fault{Cut: true}, "EOF"},
		{slacktest.Fault{Error: "is_archived"}, "is_archived"},
		{slacktest.Fault{Body: "<html>"}, "invalid character '<'"},
	}
	for _, test := range tests {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after effect %v", test.want, after), func(t *testing.T) {
				s, c := start(t, slacktest.Options{})
				test.fault.Method, test.fault.Skip, test.fault.Times, test.fault.AfterEffect = "chat.postMessage", 1, 2, after
				s.Fail(test.fault)
				for call := range 4 {
					_, _, err := c.PostMessageContext(t.Context(), "#ci", text("x"))
					if failed := err != nil && strings.Contains(err.Error(), test.want); failed != (call == 1 || call == 2) {
						t.Errorf("call %d: %v", call, err)
					}
				}
				want := 2
				if after {
					want = 4
				}
				if got := len(s.Posts()); got != want || s.Calls("chat.postMessage") != 4 {
					t.Errorf("%d posts of %d calls, want %d of 4", got, s.Calls("chat.postMessage"), want)
				}
			})
		}
	}
}

func TestPlain(t *testing.T) {
	tests := []struct{ mrkdwn, want string }{
		{"*bold* and `code`", "bold and `code`"},
		{":x: <https://example.com/a?b=1&amp;c=2|the *job*>", "❌ the job (https://example.com/a?b=1&c=2)"},
		{"<https://example.com>", "https://example.com"},
		{"<!channel> <@U1> <#C1|ci>", "@channel @U1 #ci"},
		{"&lt;!channel&gt; &amp;lt;", "<!channel> &lt;"},
		{":unknown: 2 * 3", ":unknown: 2 * 3"},
	}
	for _, test := range tests {
		if got := (slacktest.Message{Text: test.mrkdwn}).Plain(); got != test.want {
			t.Errorf("%q shows as %q, want %q", test.mrkdwn, got, test.want)
		}
	}
}
