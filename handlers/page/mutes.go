package page

import (
	"github.com/pipesteward/pipesteward/handlers/admin"
)

// mutesChanges are what the forms of the view do.
var mutesChanges = map[string]change{
	"mute": {"The mute is in force.", func(r *request) ([]string, error) {
		req := admin.MuteRequest{MuteScope: r.muteScope(), For: r.Get("for"), Reason: r.Get("reason"), By: r.Get("by"), Replace: r.Get("replace") != ""}
		var answer admin.Muted
		err := r.post("/api/v1/mute", req, &answer)
		return answer.Warnings, err
	}},
	"unmute": {"The mute has ended.", func(r *request) ([]string, error) {
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
