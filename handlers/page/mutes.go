package page

import (
	"github.com/pipesteward/pipesteward/handlers/admin"
)

// scopeOfMute are the fields that say what a mute is for.
var scopeOfMute = []field{{Name: "rule", Label: "Of a rule"}, {Name: "project", Label: "Of projects"}, {Name: "channel", Label: "In a channel"}}

// mutesChanges are what the forms of the view do.
var mutesChanges = map[string]change{
	"mute": {done: "The mute is in force.", fields: append(scopeOfMute, field{Name: "for", Label: "For"}, reason, by, field{Name: "replace"}), do: func(r *request) ([]string, error) {
		req := admin.MuteRequest{MuteScope: r.muteScope(), For: r.Get("for"), Reason: r.Get("reason"), By: r.Get("by"), Replace: r.Get("replace") != ""}
		var answer admin.Muted
		err := r.post("/api/v1/mute", req, &answer)
		return answer.Warnings, err
	}},
	"unmute": {done: "The mute has ended.", fields: append(scopeOfMute, by), do: func(r *request) ([]string, error) {
		return nil, r.post("/api/v1/unmute", admin.UnmuteRequest{MuteScope: r.muteScope(), By: r.Get("by")}, new(admin.Muted))
	}},
}

// muteScope returns what a form names; nothing stands for all notifications.
func (r *request) muteScope() admin.MuteScope {
	given := func(name string) *string {
		if value := r.Get(name); value != "" {
			return &value
		}
		return nil
	}
	return admin.MuteScope{Rule: given("rule"), Project: given("project"), Channel: given("channel")}
}
