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
	{Path: "/", Title: "Overview", file: "overview", linked: true, read: readOverview},
	{Path: "/decisions", Title: "Decisions", file: "decisions", linked: true, read: readDecisions, fields: decisionFields},
	{Path: "/story", Title: "Story", file: "story", linked: true, still: true, read: readStory, fields: []field{{Name: "url", Label: "Page of a job or a pipeline in GitLab"}}},
	{Path: "/queue", Title: "Queue", file: "queue", linked: true, read: readQueue, fields: queueFields, changes: queueChanges},
	{Path: "/dead", Title: "Dead records", file: "dead", linked: true, read: readDead, fields: deadFields, changes: queueChanges},
	{Path: "/pauses", Title: "Pauses", file: "pauses", linked: true, read: readPauses, changes: pauseChanges},
	{Path: "/mutes", Title: "Mutes", file: "mutes", linked: true, read: readPauses, changes: mutesChanges},
	{Path: "/rules", Title: "Rules", file: "rules", linked: true, still: true, read: readRules, changes: rulesChanges},
	{Path: "/limits", Title: "Limits", file: "limits", linked: true, read: readLimits},
	{Path: "/unknown", Title: "Unknown failures", file: "unknown", linked: true, still: true, read: readUnknown, fields: []field{since, project}},
	{Path: "/report", Title: "Report", file: "report", linked: true, still: true, read: readReport, fields: reportFields},
	{Path: "/deliveries", Title: "Deliveries", file: "deliveries", linked: true, read: readDeliveries, fields: deliveriesFields, changes: deliveriesChanges},
	{Path: "/webhooks", Title: "Webhooks", file: "hooks", linked: true, read: readHooks, changes: hooksChanges},
	{Path: "/doctor", Title: "Doctor", file: "doctor", linked: true, read: readDoctor, changes: doctorChanges},
	{Path: "/changes", Title: "Changes", file: "changes", linked: true, read: readChanges},
	{Path: "/decision", Title: "Decision", file: "decision", read: readDecision, fields: named("id"), changes: decisionChanges},
	{Path: "/proposal", Title: "Proposal", file: "proposal", still: true, read: readProposal, fields: named("id")},
}

// InNavigation says whether the view is in the navigation.
func (v view) InNavigation() bool { return v.linked }

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
