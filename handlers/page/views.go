package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"unicode"
)

// views are all views: those in the navigation in its order, and those that others link to.
var views = []view{
	{Path: "/", Key: "o", Title: "Overview", file: "overview", read: readOverview},
	{Path: "/decisions", Key: "d", Title: "Decisions", file: "decisions", read: readDecisions, fields: decisionFields},
	{Path: "/story", Key: "s", Title: "Story", file: "story", still: true, read: readStory, fields: []field{{Name: "url", Label: "Page of a job or a pipeline in GitLab"}}},
	{Path: "/queue", Key: "q", Title: "Queue", file: "queue", read: readQueue, fields: queueFields, changes: queueChanges},
	{Path: "/dead", Key: "x", Title: "Dead records", file: "dead", read: readDead, fields: deadFields, changes: queueChanges},
	{Path: "/pauses", Key: "p", Title: "Pauses", file: "pauses", read: readPauses, changes: pauseChanges},
	{Path: "/mutes", Key: "m", Title: "Mutes", file: "mutes", read: readPauses, changes: mutesChanges},
	{Path: "/rules", Key: "r", Title: "Rules", file: "rules", still: true, read: readRules, changes: rulesChanges},
	{Path: "/limits", Key: "l", Title: "Limits", file: "limits", read: readLimits},
	{Path: "/unknown", Key: "u", Title: "Unknown failures", file: "unknown", still: true, read: readUnknown, fields: []field{since, project}},
	{Path: "/report", Key: "t", Title: "Report", file: "report", still: true, read: readReport, fields: reportFields},
	{Path: "/deliveries", Key: "v", Title: "Deliveries", file: "deliveries", read: readDeliveries, fields: deliveriesFields, changes: deliveriesChanges},
	{Path: "/webhooks", Key: "w", Title: "Webhooks", file: "hooks", read: readHooks, changes: hooksChanges},
	{Path: "/doctor", Key: "c", Title: "Doctor", file: "doctor", read: readDoctor, changes: doctorChanges},
	{Path: "/changes", Key: "h", Title: "Changes", file: "changes", read: readChanges},
	{Path: "/decision", Title: "Decision", file: "decision", read: readDecision, fields: named("id"), changes: decisionChanges},
	{Path: "/proposal", Title: "Proposal", file: "proposal", still: true, read: readProposal, fields: named("id")},
}

// InNavigation says whether the view is in the navigation.
func (v view) InNavigation() bool { return v.Key != "" }

// Followed says whether browsers follow the view.
func (v view) Followed() bool { return !v.still }

//go:embed views
var viewFiles embed.FS

// templates are those of the views, by their files.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	frame := template.Must(template.New("frame").Funcs(functions).ParseFS(viewFiles, "views/frame.tmpl", "views/parts.tmpl"))
	all := map[string]*template.Template{}
	for _, v := range slices.Concat(views, []view{{file: answerFile}}) {
		all[v.file] = template.Must(template.Must(frame.Clone()).ParseFS(viewFiles, "views/"+v.file+".tmpl"))
	}
	return all
}

// render returns what a template of the shown view makes of it. Characters that turn the
// direction of what follows, by which a name in GitLab could look like another one, become
// question marks, as commands print them.
func render(s *shown, name string) ([]byte, error) {
	var b bytes.Buffer
	if err := templates[s.View.file].ExecuteTemplate(&b, name, s); err != nil {
		return nil, fmt.Errorf("view %s: %w", s.View.file, err)
	}
	return bytes.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, b.Bytes()), nil
}
