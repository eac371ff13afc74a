package hooks

import (
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// trouble says what is wrong with a plan's webhook, without what only this owner has,
// such as ids and times: many owners with the same trouble are one finding. "": nothing
// is wrong, or the webhook of a group above sends the owner's events.
func (p Plan) trouble() string {
	switch p.verdict() {
	case Missing:
		return p.missing()
	case Disabled:
		text := "GitLab has stopped sending to the webhook after failed deliveries: it is disabled for good"
		if p.Ours.AlertStatus == gitlab.StatusPaused {
			text = "GitLab has stopped sending to the webhook after failed deliveries: it is temporarily disabled"
		}
		if status := p.Deliveries[p.Ours.ID].LastStatus; status != "" {
			text += "; the last answer was " + answered(status)
		}
		return text
	case Wrong:
		if len(p.Changes) == 0 {
			return unsigned
		}
		return "the webhook needs: " + listed(p.Changes)
	case Failing:
		return "the last delivery of the webhook failed: " + answered(p.Deliveries[p.Ours.ID].LastStatus)
	case Doubled:
		if p.Above != nil {
			return "all events come twice, from a webhook of its own and from the webhook of the group " + p.Above.Group
		}
		return "all events come twice, from two webhooks with the same address"
	case OK, Covered, Unreadable: // of the last one there is no plan
	}
	return ""
}

func (p Plan) missing() string {
	if len(p.Elsewhere) > 0 {
		return "the webhook posts to another address, " + redact.URL(p.Elsewhere[0].URL)
	}
	if p.AboveHidden {
		return "no webhook posts job and pipeline events to Pipesteward, unless a group has one: GitLab shows those to its Owners only"
	}
	return "no webhook posts job and pipeline events to Pipesteward"
}
