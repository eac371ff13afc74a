package page

import (
	"net/http"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
)

// pauses is what the form to pause can name; those in force are in the status.
type pauses struct{ Rules []string }

func readPauses(r *request) (any, error) {
	names, err := ruleNames(r)
	return pauses{names}, err
}

// ruleNames returns the names of the rules in force.
func ruleNames(r *request) (names []string, err error) {
	var state struct {
		Rules []struct {
			Name string `json:"name"`
		} `json:"rules"`
	}
	err = r.get("/api/v1/rules", nil, &state)
	for _, rule := range state.Rules {
		names = append(names, rule.Name)
	}
	return names, err
}

// scopeOfPause are the fields that say what a pause is for.
var scopeOfPause = []field{{Name: "scope"}, {Name: "project", Label: "Projects"}, {Name: "rule", Label: "Rule"}}

// pauseChanges are what the forms of the view do.
var pauseChanges = map[string]change{
	"pause":  {done: "The pause is in force.", fields: append(scopeOfPause, field{Name: "for", Label: "For"}, reason, by, field{Name: "replace"}), do: pause},
	"resume": {done: "The pause has ended: what waited goes on.", fields: append(scopeOfPause, by), do: resume},
}

// pause stops the scope that a form names.
func pause(r *request) (warnings []string, err error) {
	req := admin.PauseRequest{For: r.Get("for"), Reason: r.Get("reason"), By: r.Get("by"), Replace: r.Get("replace") != ""}
	if req.Project, req.Rule, err = r.scope(); err != nil {
		return nil, err
	}
	var answer admin.Paused
	err = r.post("/api/v1/pause", req, &answer)
	return answer.Warnings, err
}

// resume ends the pause with the scope that a form names.
func resume(r *request) (warnings []string, err error) {
	req := admin.ResumeRequest{By: r.Get("by")}
	if req.Project, req.Rule, err = r.scope(); err != nil {
		return nil, err
	}
	return nil, r.post("/api/v1/resume", req, new(admin.Paused))
}

// scope returns the projects or the rule that a form names; neither stands for all.
func (r *request) scope() (project, rule *string, err error) {
	switch r.Get("scope") {
	case "all":
		return nil, nil, nil
	case "project":
		return new(r.Get("project")), nil, nil
	case "rule":
		return nil, new(r.Get("rule")), nil
	default:
		return nil, nil, &handlers.RefusedError{Code: http.StatusBadRequest, Text: "choose what to pause: all, the projects of a glob, or a rule"}
	}
}
