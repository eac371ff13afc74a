package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// webhooks are what was found of the webhooks of all projects.
type webhooks struct {
	*hooks.Survey
	unwanted []project       // whose events no rule wants
	unread   []event.Project // after an error
	err      error           // why they were not read
}

// theWebhooks reads the webhooks of all projects that can be acted in and whose events
// rules want, and those of groups that send the events of some of them.
func (x *exam) theWebhooks(ctx context.Context) (webhooks, error) {
	return x.hooks.get(func() (webhooks, error) {
		f, err := x.theFleet(ctx)
		if err != nil {
			return webhooks{}, err
		}
		found := webhooks{Survey: hooks.NewSurvey(hooks.NewInspector(x.GitLab, x.Webhook, false, x.Now))}
		for i, p := range f.projects {
			x.Progress(i+1, len(f.projects), p.Path)
			switch {
			case p.Archived:
			case !x.wantsEvents(p):
				found.unwanted = append(found.unwanted, p)
			case found.err != nil:
				found.unread = append(found.unread, p.Project.Project)
			case p.role < gitlab.Maintainer:
				found.Add(hooks.Trouble{Verdict: hooks.Unreadable, Seen: "not checked: GitLab shows webhooks to Maintainers only"}, p.Project.Project)
			default:
				err := found.Project(ctx, p.Project.Project)
				switch {
				case apierror.IsHidden(err):
					found.Add(hooks.Trouble{Verdict: hooks.Unreadable, Seen: "not checked, because " + reasonOf(err)}, p.Project.Project)
				case err != nil:
					found.unread, found.err = []event.Project{p.Project.Project}, err
				}
			}
		}
		left, err := found.Groups(ctx)
		found.unread, found.err = append(found.unread, left...), cmp.Or(found.err, err)
		return found, nil
	})
}

// wantsEvents reports whether a rule wants events of the project. It is also true if the
// rules are unknown.
func (x *exam) wantsEvents(p project) bool {
	return x.Rules == nil || slices.ContainsFunc(x.Rules.All(), func(r *rules.Rule) bool {
		return r.On != event.KindSchedule && !r.OnlyStops() && r.Concerns(p.Project.Project)
	})
}

// webhookSeverities are those of the verdicts that are not in order, the worst first.
var webhookSeverities = []struct {
	verdict  hooks.Verdict
	severity Severity
}{
	{hooks.Missing, Problem},
	{hooks.Disabled, Problem},
	{hooks.Failing, Problem},
	{hooks.Wrong, Warning},
	{hooks.Doubled, Warning},
	{hooks.Unreadable, Unknown},
}

// checkWebhooks tells from which projects events do not come, or come twice.
func checkWebhooks(ctx context.Context, x *exam) []Finding {
	all, err := x.theWebhooks(ctx)
	if err != nil {
		return notChecked(err)
	}
	barred := slices.ContainsFunc(checkOutbound(ctx, x), func(f Finding) bool { return f.Severity == Problem })
	var found []Finding
	for _, of := range webhookSeverities {
		for _, t := range slices.SortedFunc(maps.Keys(all.Troubles), func(a, b hooks.Trouble) int {
			return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Seen, b.Seen))
		}) {
			if t.Verdict == of.verdict {
				found = append(found, x.webhookFindings(ctx, t, of.severity, all.Troubles[t], barred)...)
			}
		}
	}
	if all.err != nil {
		unread := notChecked(all.err)
		unread[0].Projects = pathsOf(all.unread)
		found = append(found, unread...)
	}
	if len(found) == 0 && (all.Good > 0 || len(all.unwanted) == 0) {
		found = ok("events are delivered " + inProjects(all.Good))
	}
	found = append(found, about(all.unwanted, Note, "no rule wants their events: they need no webhook", "")...)
	if x.Webhook.URL == "" {
		found = append(found, one(Note, "without --webhook-url, every webhook counts whose address ends in "+x.Webhook.Path,
			"give --webhook-url, the public URL that GitLab posts to")...)
	}
	return found
}

// webhookFindings returns what is to be said of projects with the same trouble; barred is
// set if GitLab refuses to send to their webhooks' address.
func (x *exam) webhookFindings(ctx context.Context, t hooks.Trouble, s Severity, projects []event.Project, barred bool) []Finding {
	var found []Finding
	if t.AboveHidden {
		known, _ := x.knownProjects(ctx) // theFleet has reported the error
		silent := slices.DeleteFunc(slices.Clone(projects), func(p event.Project) bool { return slices.Contains(known, p.ID) })
		sending := slices.DeleteFunc(slices.Clone(projects), func(p event.Project) bool { return !slices.Contains(known, p.ID) })
		if len(sending) > 0 {
			found = append(found, Finding{
				Severity: Unknown, Projects: pathsOf(sending), Seen: "none has a webhook, and all have sent events: a group may have one, which GitLab shows to its Owners only",
				Advice: "make the token's user Owner of the group to have it checked; where no group has one, " + x.hooksCommand("ensure", pathsOf(sending)) + " makes one in each",
			})
		}
		if projects = silent; len(projects) == 0 {
			return found
		}
	}
	names, seen := pathsOf(projects), t.Seen
	if t.Group != "" {
		names, seen = []string{t.Group}, fmt.Sprintf("group %s, which sends their events: %s", t.Group, seen)
	}
	advice := x.webhookAdvice(t, names)
	if barred && t.Verdict != hooks.Doubled && t.Verdict != hooks.Unreadable {
		advice = "first do what webhook-outbound says; then: " + advice
	}
	return append(found, Finding{Severity: s, Seen: seen, Advice: advice, Projects: pathsOf(projects)})
}

// webhookAdvice says what to do about the webhooks of projects, or of a group.
func (x *exam) webhookAdvice(t hooks.Trouble, names []string) string {
	ensure := x.hooksCommand("ensure", names)
	switch t.Verdict {
	case hooks.Missing:
		if t.Elsewhere {
			return "if that is an earlier address of this service, add it as --replace-url to " + ensure + "; without it, that makes another webhook"
		}
		return ensure + " makes one in each"
	case hooks.Disabled:
		return ensure + " repairs it and enables it by a test delivery, while `serve` runs"
	case hooks.Unreadable:
		return "give the token's user the role Maintainer, or look at Settings, Webhooks; with that role " + ensure + " makes and repairs them"
	case hooks.Doubled:
		return x.hooksCommand("list", names) + " shows which one to delete"
	case hooks.Failing, hooks.Wrong, hooks.OK, hooks.Covered:
	}
	return ensure + " repairs it"
}

// namedInCommands is how many projects a command names.
const namedInCommands = 3

// hooksCommand returns the command that lists or ensures webhooks.
func (x *exam) hooksCommand(command string, names []string) string {
	words := []string{"`pipesteward hooks", command}
	if x.Webhook.URL == "" && command == "ensure" {
		words = append(words, "--webhook-url URL")
	}
	words = append(words, names[:min(len(names), namedInCommands)]...)
	if len(names) > namedInCommands {
		words = append(words, "…")
	}
	return strings.Join(words, " ") + "`"
}

func pathsOf(all []event.Project) []string {
	named := make([]string, len(all))
	for i, p := range all {
		named[i] = p.Path
	}
	return named
}
