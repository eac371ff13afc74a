package receiverstest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The tokens in the addresses.
const (
	teamsWorkflow  = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	teamsSignature = "t3amsS1gnature_0000000000000000000000000000"
	mattermostHook = "mattermosthook0000000000ab"
	discordToken   = "d1sc0rd-t0ken_00000000000000000000000000000000000000000000000000000"
	discordID      = "1112223334445556667"
	webhookPath    = "audit-path-token"
)

// teams is a workflow that posts a card to a channel. Power Automate answers 202 before it
// posts: https://learn.microsoft.com/connectors/teams/ has the limits.
var teams = bot{
	kind:    "teams",
	pattern: "POST /powerautomate/automations/direct/workflows/{id}/triggers/manual/paths/invoke",
	address: func(base string) string {
		return base + "/powerautomate/automations/direct/workflows/" + teamsWorkflow + "/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=" + teamsSignature
	},
	limits: []limit{{4, time.Second}, {100, time.Minute}},
	serve:  serveTeams,
}

func serveTeams(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status int, code, text string) {
		reply(w, status, fields{"error": fields{"code": code, "message": text}})
	}
	var request struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type, Version string
				Body          []struct {
					Type, Text string
					Inlines    []struct{ Type, Text string }
				}
				Actions []struct{ Type, Title, URL string }
				MSTeams struct {
					Entities []struct {
						Type, Text string
						Mentioned  struct{ ID string }
					}
				}
			}
		}
	}
	err := json.Unmarshal(body, &request)
	switch {
	case r.PathValue("id") != teamsWorkflow:
		refuse(http.StatusNotFound, "WorkflowNotFound", "The workflow could not be found.")
		return
	case r.URL.Query().Get("sig") == "":
		refuse(http.StatusUnauthorized, "DirectApiAuthorizationRequired", "The request must be authenticated only by Shared Access scheme.")
		return
	case r.URL.Query().Get("sig") != teamsSignature:
		refuse(http.StatusUnauthorized, "AuthorizationFailed", "The authentication credentials are not valid.")
		return
	case s.gone("teams"):
		refuse(http.StatusBadRequest, "WorkflowTriggerIsNotEnabled", "Could not execute workflow trigger 'manual' for workflow '"+teamsWorkflow+"' with state 'Deleted': trigger is not enabled.")
		return
	case len(body) > 28*1024:
		refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request Entity too large")
		return
	case err != nil || request.Type != "message" || len(request.Attachments) != 1 || request.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || request.Attachments[0].Content.Type != "AdaptiveCard":
		refuse(http.StatusBadRequest, "TriggerInputSchemaMismatch", "The input body for trigger 'manual' did not match its schema definition.")
		return
	case s.tooMany(b):
		w.Header().Set("Retry-After", "17")
		refuse(http.StatusTooManyRequests, "TooManyRequests", "Rate limit is exceeded. Try again in 17 seconds.")
		return
	}
	var m Message
	card := request.Attachments[0].Content
	for _, block := range card.Body {
		switch block.Type {
		case "RichTextBlock": // without markup
			for _, run := range block.Inlines {
				m.Text += run.Text
			}
		case "TextBlock":
			text, links := render(block.Text)
			m.Links = append(m.Links, links...)
			for _, entity := range card.MSTeams.Entities {
				if entity.Type == "mention" && strings.Contains(block.Text, entity.Text) {
					m.Notified = append(m.Notified, entity.Mentioned.ID)
				}
			}
			m.Text += text
		}
		m.Text += "\n"
	}
	for _, action := range card.Actions {
		m.Links = append(m.Links, Link{action.Title, action.URL})
	}
	s.record("teams", r, body, m)
	w.WriteHeader(http.StatusAccepted)
}

// mattermost is an incoming webhook: https://developers.mattermost.com/integrate/webhooks/incoming/
var mattermost = bot{
	kind:    "mattermost",
	pattern: "POST /hooks/{id}",
	address: func(base string) string { return base + "/hooks/" + mattermostHook },
	limits:  []limit{{10, time.Second}},
	serve:   serveMattermost,
}

var mattermostAt = regexp.MustCompile(`@([A-Za-z0-9._-]+)`)

func serveMattermost(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status int, id, text string) {
		reply(w, status, fields{"id": id, "message": text, "detailed_error": "", "request_id": "r", "status_code": status})
	}
	var request struct {
		Text        string
		Attachments []struct{ Fallback, Color, Pretext, Title, Text string }
	}
	err := json.Unmarshal(body, &request)
	switch {
	case r.PathValue("id") != mattermostHook || s.gone("mattermost"):
		refuse(http.StatusBadRequest, "web.incoming_webhook.invalid.app_error", "Invalid webhook.")
		return
	case err != nil:
		refuse(http.StatusBadRequest, "web.incoming_webhook.parse.app_error", "Unable to parse incoming data.")
		return
	case request.Text == "" && len(request.Attachments) == 0:
		refuse(http.StatusBadRequest, "web.incoming_webhook.text.app_error", "No text specified.")
		return
	case s.tooMany(b):
		w.Header().Set("Retry-After", "1")
		http.Error(w, "limit exceeded", http.StatusTooManyRequests)
		return
	}
	var m Message
	see := func(markdown string) {
		if utf8.RuneCountInString(markdown) > 16_383 {
			refuse(http.StatusBadRequest, "web.incoming_webhook.text.length.app_error", "Text too long.")
		}
		// The server finds names before it reads the markup.
		for _, at := range mattermostAt.FindAllStringSubmatch(markdown, -1) {
			name := at[1]
			if slices.Contains([]string{"all", "channel", "here"}, strings.Trim(name, "._-")) {
				name = Everyone
			}
			m.Notified = append(m.Notified, name)
		}
		text, links := render(markdown)
		m.Text += text + "\n"
		m.Links = append(m.Links, links...)
	}
	for _, a := range request.Attachments {
		see(a.Pretext)
		see(a.Text)
	}
	see(request.Text)
	s.record("mattermost", r, body, m)
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte("ok")) // fails only if the client is gone
}

// discord is a webhook: https://discord.com/developers/docs/resources/webhook#execute-webhook
var discord = bot{
	kind:    "discord",
	pattern: "POST /api/webhooks/{id}/{token}",
	address: func(base string) string { return base + "/api/webhooks/" + discordID + "/" + discordToken },
	limits:  []limit{{5, 2 * time.Second}, {30, time.Minute}},
	serve:   serveDiscord,
}

var discordAt = regexp.MustCompile(`<@(&?\d+)>`)

func serveDiscord(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status, code int, text string) { reply(w, status, fields{"message": text, "code": code}) }
	var request struct {
		Content string
		Embeds  []struct {
			Title, URL, Description string
			Fields                  []struct{ Name, Value string }
		}
		AllowedMentions *struct{ Parse, Users, Roles []string } `json:"allowed_mentions"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		refuse(http.StatusBadRequest, 50109, "The request body contains invalid JSON.")
		return
	}
	long := utf8.RuneCountInString(request.Content) > 2000 || len(request.Embeds) > 10
	all := 0
	for _, e := range request.Embeds {
		count := utf8.RuneCountInString
		all += count(e.Title) + count(e.Description)
		long = long || count(e.Title) > 256 || count(e.Description) > 4096 || len(e.Fields) > 25
		for _, f := range e.Fields {
			all += count(f.Name) + count(f.Value)
			long = long || count(f.Name) > 256 || count(f.Value) > 1024 || f.Name == "" || f.Value == ""
		}
	}
	switch {
	case r.PathValue("id") != discordID || s.gone("discord"):
		refuse(http.StatusNotFound, 10015, "Unknown Webhook")
		return
	case r.PathValue("token") != discordToken:
		refuse(http.StatusUnauthorized, 50027, "Invalid Webhook Token")
		return
	case request.Content == "" && len(request.Embeds) == 0:
		refuse(http.StatusBadRequest, 50006, "Cannot send an empty message")
		return
	case long || all > 6000:
		refuse(http.StatusBadRequest, 50035, "Invalid Form Body")
		return
	case s.tooMany(b):
		w.Header().Set("Retry-After", "2")
		reply(w, http.StatusTooManyRequests, fields{"message": "You are being rate limited.", "retry_after": 1.337, "global": false})
		return
	}
	m := Message{Text: request.Content}
	allowed := request.AllowedMentions
	for _, at := range discordAt.FindAllStringSubmatch(request.Content, -1) {
		role, isRole := strings.CutPrefix(at[1], "&")
		if allowed == nil || !isRole && (slices.Contains(allowed.Parse, "users") || slices.Contains(allowed.Users, at[1])) ||
			isRole && (slices.Contains(allowed.Parse, "roles") || slices.Contains(allowed.Roles, role)) {
			m.Notified = append(m.Notified, at[1])
		}
	}
	if (strings.Contains(request.Content, "@everyone") || strings.Contains(request.Content, "@here")) && (allowed == nil || slices.Contains(allowed.Parse, "everyone")) {
		m.Notified = append(m.Notified, Everyone)
	}
	for _, e := range request.Embeds { // nobody is notified by an embed
		texts := []string{e.Title, e.Description}
		for _, f := range e.Fields {
			texts = append(texts, f.Name, f.Value)
		}
		for _, markdown := range texts {
			text, links := render(markdown)
			m.Text += "\n" + text
			m.Links = append(m.Links, links...)
		}
		if e.URL != "" {
			m.Links = append(m.Links, Link{e.Title, e.URL})
		}
	}
	s.record("discord", r, body, m)
	if r.URL.Query().Get("wait") != "true" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("X-RateLimit-Limit", "5")
	w.Header().Set("X-RateLimit-Remaining", "4")
	w.Header().Set("X-RateLimit-Reset-After", "2")
	reply(w, http.StatusOK, fields{"id": "1234567890123456789", "content": request.Content})
}

// webhook is a program that takes Standard Webhooks:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
var webhook = bot{
	kind:    "webhook",
	pattern: "POST /ci/{token}",
	address: func(base string) string { return base + "/ci/" + webhookPath },
	serve:   serveWebhook,
}

func serveWebhook(s *Server, _ bot, w http.ResponseWriter, r *http.Request, body []byte) {
	id, timestamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.options.SigningToken, "whsec_"))
	signed := false
	for signature := range strings.FieldsSeq(r.Header.Get("webhook-signature")) {
		signed = signed || signature == "v1,"+sum(string(key), id+"."+timestamp+"."+string(body))
	}
	switch {
	case s.gone("webhook"):
		http.Error(w, "gone", http.StatusGone)
		return
	case err != nil || !signed || !s.current(timestamp, 5*time.Minute):
		http.Error(w, "no matching signature", http.StatusUnauthorized)
		return
	case !json.Valid(body) || id == "":
		http.Error(w, "invalid body", http.StatusBadRequest)
		return
	}
	s.record("webhook", r, body, Message{ID: id, Text: string(body)})
	w.WriteHeader(http.StatusNoContent)
}
