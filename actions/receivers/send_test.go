package receivers_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/actions/receivers/receiverstest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// A message is accepted, with its signature, and people see all of it.
func TestSend(t *testing.T) {
	people := map[string][]string{
		receiver.Feishu: {"ou_18eac8"}, receiver.Lark: {"ou_18eac8"}, receiver.DingTalk: {"13800000000", "manager4711"},
		receiver.WeCom: {"wang@qing", "+86-13800000000"}, receiver.Teams: {"a.b+ci@example.com"},
		receiver.Mattermost: {"alice.b"}, receiver.Discord: {"123456789012345678", "&876543210987654321"},
	}
	everyKind(t, func(t *testing.T, r *rig) {
		m := notice()
		m.Mention = append(slices.Clone(people[r.kind]), people[r.kind]...)
		m.Mention = append(m.Mention, "no one <here>", "", "@", "all", "here.", "@channel", "<@1>")
		r.sent(m)
		got := r.last()
		if len(r.messages()) != 1 {
			t.Fatalf("%d messages were accepted", len(r.messages()))
		}
		if r.kind == receiver.Webhook {
			return // its body: TestWebhook
		}
		for _, want := range []string{m.Title, "build failed 3 times.", "看看日志。", "Stage", "test", "Runner", "shared-1"} {
			if !strings.Contains(got.Text, want) {
				t.Errorf("people do not see %q in %q", want, got.Text)
			}
		}
		if linked := slices.ContainsFunc(got.Links, func(l receiverstest.Link) bool { return l.URL == m.Link }); !linked && !strings.Contains(got.Text, m.Link) {
			t.Errorf("the link is missing: %+v", got)
		}
		want := people[r.kind]
		switch r.kind {
		case receiver.Email:
			want = []string{"team@example.com", "ops@example.com"}
		case receiver.DingTalk, receiver.WeCom, receiver.Teams: // users may have these ids; they are not everyone's
			want = append(slices.Clone(want), "all", "here.")
		}
		got.Notified, want = slices.Sorted(slices.Values(got.Notified)), slices.Sorted(slices.Values(want))
		if d := cmp.Diff(want, got.Notified); d != "" {
			t.Errorf("notified people (-want +got):\n%s", d)
		}
	})
}

// Everyone is notified on demand only.
func TestEveryone(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		m := notice()
		m.Mention = []string{receiver.Everyone}
		r.sent(m)
		want := []string{receiverstest.Everyone}
		if r.kind == receiver.Teams {
			want = nil
		}
		if d := cmp.Diff(want, r.last().Notified); d != "" {
			t.Errorf("notified (-want +got):\n%s", d)
		}
	}, receiver.Email, receiver.Webhook)
}

// A message may have a title or a text alone, and any level.
func TestPartsAreOptional(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		for i, m := range []message.Message{
			{Title: "a title"},
			{Text: "a text"},
			{Text: "a text", Link: "https://gitlab.example.com/x", Level: message.OK},
			{Title: "a title", Level: message.Warning, Fields: []message.Field{{Name: "empty"}, {Value: "nameless"}}},
			{Title: "a title", Link: "javascript:alert(1)"},
		} {
			m.ID = strconv.Itoa(i)
			r.sent(m)
			got := r.last()
			if !strings.Contains(got.Text, m.Title) || !strings.Contains(got.Text, m.Text) {
				t.Errorf("people see %q of %+v", got.Text, m)
			}
			if strings.Contains(string(got.Body), "javascript") || strings.Contains(string(got.Body), "nameless") {
				t.Errorf("the body has what is none: %s", got.Body)
			}
			r.clock.advance(time.Minute)
		}
		for _, m := range []message.Message{{Title: "no id"}, {ID: "1"}, {ID: "1", Text: " \n "}} {
			if e := r.refused(m); e.Mendable() || e.Code != "message" {
				t.Errorf("%+v: %v", m, e)
			}
		}
	})
}

// No value is markup, notifies anybody, or hides where a link leads.
func TestValuesAreShownAsTheyAre(t *testing.T) {
	values := []string{
		"@all", "@here", "@channel", "@everyone", "@alice", "a@all.example", "x @all, y", "(@here)", "@all.", "\\@all", "#general", "~town-square",
		"<@all>", "<@123456789012345678>", "<@&123>", "<#123>", "<!here>", "<at user_id=\"all\">all</at>", "<at id=all></at>", "<at id=ou_1></at>", "<at>alice@example.com</at>",
		"[GitLab](https://evil.example)", "[GitLab][1]", "![x](https://evil.example/x.png)", "<https://evil.example|GitLab>", "<a href=\"https://evil.example\">GitLab</a>",
		"[a](<https://evil.example>)", "[GitLab](https://evil.example \"GitLab\")", "\\[GitLab](https://evil.example)", "\\\\[GitLab](https://evil.example)",
		"**bold**", "__bold__", "*it*", "_it_", "~~struck~~", "||spoiler||", "`code`", "```\ncode", "# heading", "## heading", "> quote", ">>> quote", "- item", "+ item", "* item", "1. item", "1) item",
		"---", "===", "***", "| a | b |\n| - | - |\n| 1 | 2 |", "<b>bold</b>", "<script>alert(1)</script>", "<!-- x -->", "a_b_c", "test: [a, b] 1/2", "feature/x*y*z", "snake_case_name_",
		"back\\slash", "\\", "\\*x\\*", "${env}", "{{ x }}", "@{triggerBody()}", "line\u202Egnp.exe", "tab\tbed", "nul\x00byte", "esc\x1b[31mred", "bad\xffutf8", "'quote\"",
		"https://wiki.example.com/a_b_(c)/x?y=z&a=*b*", "see https://wiki.example.com/run_book_1.", "https://[evil](https://evil.example)",
	}
	// What is left out of a text is not what people must see.
	clean := strings.NewReplacer("\u202E", "", "\x00", "", "\x1b", "", "\xff", "\uFFFD", "\t", " ", "\u200b", "")
	see := func(s string) string { return strings.Join(strings.Fields(clean.Replace(s)), " ") }
	everyKind(t, func(t *testing.T, r *rig) {
		for i, value := range values {
			m := message.Message{ID: strconv.Itoa(i), Title: "in " + value, Text: "x\n" + value + "\ny", Fields: []message.Field{{Name: value, Value: value}}, Link: "https://gitlab.example.com/x"}
			r.sent(m)
			got := r.last()
			if r.kind == receiver.Email {
				got.Notified = nil
			}
			if len(got.Notified) > 0 {
				t.Errorf("%q notifies %q", value, got.Notified)
			}
			for _, l := range got.Links {
				if l.URL != m.Link {
					t.Errorf("%q makes a link: %+v", value, l)
				}
			}
			// The bold names of fields are ours.
			text := strings.NewReplacer("‹", "", "›", "").Replace(got.Text)
			if n := strings.Count(see(text), see(value)); n < 4 && r.kind != receiver.Webhook {
				t.Errorf("%q is seen %d times in %q", value, n, got.Text)
			}
			if marks := strings.Count(got.Text, "‹"); marks > 4 { // two for the title, two for the field's name
				t.Errorf("%q is markup: %q", value, got.Text)
			}
			if strings.Contains(got.Text, "\x1b") || strings.Contains(got.Text, "\u202E") || !utf8.ValidString(got.Text) {
				t.Errorf("%q steers the reader: %q", value, got.Text)
			}
			r.clock.advance(time.Minute)
		}
	})
}

// Whatever is too long is shortened to what the medium takes, within no character; the
// title, and as much of the text as fits, stay.
func TestTooLong(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		for i, piece := range []string{"x", "字", "😀", "*[", "\"\\", "a\n", "<@all>", "https://example.com/a "} {
			m := notice()
			m.ID, m.Outcome = strconv.Itoa(i), event.Outcome{}
			m.Text = strings.Repeat(piece, 200_000/len(piece))
			m.Title = "begin " + m.Text
			for range 50 {
				m.Fields = append(m.Fields, message.Field{Name: "n" + m.Text, Value: "v" + m.Text})
				m.Mention = append(m.Mention, fmt.Sprintf("ou_%0100d", len(m.Mention)))
			}
			r.sent(m)
			got := r.last()
			if !utf8.ValidString(got.Text) || !utf8.Valid(got.Body) {
				t.Errorf("%q: a character is cut", piece)
			}
			if !strings.Contains(got.Text, "begin") || !strings.Contains(got.Text, "…") {
				t.Errorf("%q: people see %.200q", piece, got.Text)
			}
			r.clock.advance(time.Minute)

			// The text alone: most of what is allowed is used.
			m = message.Message{ID: m.ID + "b", Title: "begin", Text: strings.ReplaceAll(m.Text, "\n", " ")}
			r.sent(m)
			least := map[string]int{receiver.WeCom: 1900, receiver.Discord: 3900}[r.kind]
			if least == 0 {
				least = 15_000
			}
			if n := len(r.last().Body); n < least {
				t.Errorf("%q: only %d bytes were sent", piece, n)
			}
			r.clock.advance(time.Minute)
		}
	})
}

// The body of a webhook is the outcome, and the message if there is none. A repetition has the
// same id and body.
func TestWebhook(t *testing.T) {
	r := newRig(t, receiver.Webhook)
	m := notice()
	m.Outcome.Notifications = []event.Notification{{Error: "of an earlier try"}}
	r.sent(m)
	r.clock.advance(time.Minute)
	r.sent(m)
	const digest = "33ed736809e0aafeb9f7f5ce5b4df795" // of the message's ID
	all := r.messages()
	if len(all) != 2 || all[0].ID != "msg_"+digest || all[1].ID != all[0].ID || string(all[0].Body) != string(all[1].Body) {
		t.Errorf("a repetition differs: %+v", all)
	}
	var body struct {
		Type      string
		Timestamp time.Time
		Data      event.Outcome
	}
	if err := json.Unmarshal(all[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	want := m.Outcome
	want.Notifications = nil
	if d := cmp.Diff(want, body.Data); d != "" || body.Type != "outcome.gave_up" || !body.Timestamp.Equal(m.Outcome.At) {
		t.Errorf("body %s (-want +got):\n%s", all[0].Body, d)
	}

	m.Outcome = event.Outcome{}
	r.sent(m)
	var announced map[string]any
	if err := json.Unmarshal(r.last().Body, &announced); err != nil {
		t.Fatal(err)
	}
	wanted := map[string]any{"type": "announcement", "timestamp": "2026-11-30T11:59:58Z", "data": map[string]any{
		"title": m.Title, "text": m.Text, "link": m.Link, "level": "error",
		"fields": []any{map[string]any{"name": "Stage", "value": "test"}, map[string]any{"name": "Runner", "value": "shared-1"}},
	}}
	if d := cmp.Diff(wanted, announced); d != "" {
		t.Errorf("body (-want +got):\n%s", d)
	}
}

// The mails of one message have one Message-ID; nobody answers them automatically.
func TestMail(t *testing.T) {
	r := newRig(t, receiver.Email)
	r.sent(notice())
	r.sent(notice())
	other := notice()
	other.ID = "d-2"
	r.sent(other)
	all := r.messages()
	if len(all) != 3 || all[0].ID != all[1].ID || all[0].ID == all[2].ID || !strings.HasSuffix(all[0].ID, "@example.com>") {
		t.Errorf("Message-IDs: %q, %q, %q", all[0].ID, all[1].ID, all[2].ID)
	}
	h := all[0].Header
	if h.Get("Auto-Submitted") != "auto-generated" || h.Get("Importance") != "high" || h.Get("Date") != "Mon, 30 Nov 2026 12:00:00 +0000" {
		t.Errorf("header: %v", h)
	}
	if first, _, _ := strings.Cut(all[0].Text, "\n"); first != "❌ "+notice().Title {
		t.Errorf("subject: %q", first)
	}
}

// All ways to a mail server; and those that are refused before a password is sent.
func TestMailServers(t *testing.T) {
	for _, c := range []struct {
		offered, set string
		authenticate bool
		advice       string // "": it is sent
	}{
		{offered: "starttls", set: "", authenticate: true},
		{offered: "starttls", set: "starttls"},
		{offered: "tls", set: "tls", authenticate: true},
		{offered: "tls", set: "tls"},
		{offered: "none", set: "none"},
		{offered: "none", set: "starttls", authenticate: true, advice: "does not offer STARTTLS"},
		{offered: "starttls", set: "tls", authenticate: true, advice: "no answer came"},
	} {
		t.Run(fmt.Sprintf("%s by %q, %v", c.offered, c.set, c.authenticate), func(t *testing.T) {
			r := newRig(t, receiver.Email)
			options := receiverstest.MailOptions{TLS: c.offered}
			r.definition.TLS = c.set
			if c.authenticate {
				options.Username, options.Password = mailUser, mailPassword
			} else {
				r.definition.Username, r.definition.PasswordFile = "", ""
			}
			server, err := receiverstest.NewMail(options)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.Close() }()
			r.mail, r.definition.Port = server, server.Port()
			r.connect()
			if c.advice == "" {
				r.sent(notice())
				if len(server.Messages()) != 1 {
					t.Error("nothing was sent")
				}
				return
			}
			if e := r.refused(notice()); !strings.Contains(e.Error(), c.advice) || len(server.Messages()) > 0 {
				t.Errorf("error: %v", e)
			}
		})
	}
}
