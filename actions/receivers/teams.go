package receivers

import (
	"context"
	"strings"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Microsoft Teams, by the Workflows template "Post to a channel when a webhook request is
// received": https://support.microsoft.com/office/8ae491c7-0394-4861-ba59-055e33f75498

// maxTeams is how many bytes a message may have, of about 28 KB.
const maxTeams = 27_000

type teamsRequest struct {
	Type        string            `json:"type"` // message
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string       `json:"contentType"`
	ContentURL  *string      `json:"contentUrl"` // null
	Content     adaptiveCard `json:"content"`
}

// adaptiveCard is an Adaptive Card of version 1.4. Values are text runs, which have no
// markup; only the mentions are a text block.
type adaptiveCard struct {
	Schema  string          `json:"$schema"`
	Type    string          `json:"type"`
	Version string          `json:"version"`
	Body    []adaptiveBlock `json:"body"`
	Actions []adaptiveLink  `json:"actions,omitempty"`
	Teams   adaptiveTeams   `json:"msteams"`
}

type adaptiveBlock struct {
	Type    string        `json:"type"` // RichTextBlock or TextBlock
	Spacing string        `json:"spacing,omitzero"`
	Inlines []adaptiveRun `json:"inlines,omitempty"`
	Text    string        `json:"text,omitzero"`
	Wrap    bool          `json:"wrap,omitzero"`
}

type adaptiveRun struct {
	Type   string `json:"type"` // TextRun
	Text   string `json:"text"`
	Weight string `json:"weight,omitzero"`
	Size   string `json:"size,omitzero"`
	Color  string `json:"color,omitzero"`
}

type adaptiveLink struct {
	Type  string `json:"type"` // Action.OpenUrl
	Title string `json:"title"`
	URL   string `json:"url"`
}

type adaptiveTeams struct {
	Width    string            `json:"width"`
	Entities []adaptiveMention `json:"entities,omitempty"`
}

type adaptiveMention struct {
	Type      string         `json:"type"` // mention
	Text      string         `json:"text"` // as the text block has it
	Mentioned adaptivePerson `json:"mentioned"`
}

type adaptivePerson struct {
	ID   string `json:"id"` // e-mail address (UPN) or object id
	Name string `json:"name"`
}

// rich returns a line of text runs.
func rich(spacing string, runs ...adaptiveRun) adaptiveBlock {
	for i := range runs {
		runs[i].Type = "TextRun"
	}
	return adaptiveBlock{Type: "RichTextBlock", Spacing: spacing, Inlines: runs}
}

func teamsMessage(m message.Message) teamsRequest {
	c := adaptiveCard{
		Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
		Teams: adaptiveTeams{Width: "Full"},
	}
	color := map[message.Level]string{message.OK: "Good", message.Warning: "Warning", message.Error: "Attention"}[m.Level]
	c.Body = append(c.Body, rich("", adaptiveRun{Text: m.Headline(), Weight: "Bolder", Size: "Medium", Color: color}))
	spacing := "Small"
	for line := range strings.Lines(m.Text) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			spacing = "Medium"
			continue
		}
		c.Body = append(c.Body, rich(spacing, adaptiveRun{Text: line}))
		spacing = "None"
	}
	for _, f := range m.Fields {
		c.Body = append(c.Body, rich("Small", adaptiveRun{Text: f.Name + ": ", Weight: "Bolder"}, adaptiveRun{Text: f.Value}))
	}
	people, _ := m.Mentions(receiver.Teams)
	if len(people) > 0 {
		block := adaptiveBlock{Type: "TextBlock", Wrap: true}
		for _, id := range people {
			text := "<at>" + id + "</at>"
			block.Text += text + " "
			c.Teams.Entities = append(c.Teams.Entities, adaptiveMention{"mention", text, adaptivePerson{id, id}})
		}
		c.Body = append(c.Body, block)
	}
	if m.Link != "" {
		c.Actions = []adaptiveLink{{"Action.OpenUrl", linkLabel, m.Link}}
	}
	return teamsRequest{"message", []teamsAttachment{{"application/vnd.microsoft.card.adaptive", nil, c}}}
}

const teamsURLAdvice = "copy the whole address from the workflow's trigger to url, and let anyone trigger it"

var teamsVerdicts = map[string]verdict{
	"WorkflowTriggerIsNotEnabled":    isMendable("the workflow is turned off or deleted: turn it on in Teams, or copy the address of another to url"),
	"WorkflowDisabled":               isMendable("the workflow is turned off: turn it on in Teams"),
	"WorkflowNotFound":               isMendable("there is no such workflow: make one in Teams, and copy its address to url"),
	"DirectApiAuthorizationRequired": isMendable("the address lacks its signature (sig=…): " + teamsURLAdvice),
	"AuthorizationFailed":            isMendable("the workflow refuses access: " + teamsURLAdvice),
	"TriggerInputSchemaMismatch":     isMendable("the workflow's trigger takes other messages: empty its schema, or make a workflow by the template \"Post to a channel when a webhook request is received\""),
}

func sendTeams(ctx context.Context, s *sending, m message.Message) *Error {
	request := func(m message.Message) []byte { return encode(teamsMessage(m)) }
	m = m.Fit(func(m message.Message) bool { return len(request(m)) <= maxTeams })
	a, e := s.post(ctx, s.secret[receiver.SettingURL], nil, request(m))
	if e != nil {
		return e
	}
	var result struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	switch {
	case a.json(&result) && result.Error.Code != "":
		return judge(result.Error.Code, result.Error.Message, teamsVerdicts, a)
	case !a.ok():
		return a.failure()
	case strings.Contains(a.header.Get("Content-Type"), "html"):
		return unexpected("a workflow's")
	}
	return nil
}
