package page

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
)

// group is a group of failed jobs that no failure class covers.
type group struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Example  string    `json:"example"`
	Failed   int       `json:"failed"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Retried  int       `json:"retried"`
	Passed   int       `json:"passed"`
	Reasons  []string  `json:"reasons"`
	Names    []string  `json:"names"`
	Projects []string  `json:"projects"`
	Runners  []string  `json:"runners"`
	Jobs     []struct {
		ID  int64  `json:"id"`
		URL string `json:"url"`
	} `json:"jobs"`
}

// unknown are the groups.
type unknown struct {
	Groups       []group `json:"clusters"`
	NotRead      int     `json:"not_read"`
	EveryFailure bool    `json:"every_failure"`
	Filtered     bool    `json:"-"`
	More         int     `json:"-"` // groups that are not shown
}

// maxGroups is how many groups the view shows: those with the most jobs.
const maxGroups = 50

func readUnknown(r *request) (any, error) {
	var u unknown
	query := given(r.Values)
	if err := r.get("/api/v1/unknown", query, &u); err != nil {
		return nil, err
	}
	u.Filtered = isFiltered(query)
	u.More = max(len(u.Groups)-maxGroups, 0)
	u.Groups = u.Groups[:len(u.Groups)-u.More]
	return u, nil
}

// proposal is a failure class for a group.
type proposal struct {
	admin.Proposal
	Group  group
	Refuse string // why there is none
}

func readProposal(r *request) (any, error) {
	id := r.Get("id")
	var found unknown
	if err := r.get("/api/v1/unknown", url.Values{"id": {id}}, &found); err != nil {
		return nil, err
	}
	if id == "" || len(found.Groups) == 0 {
		return nil, &handlers.RefusedError{Code: http.StatusNotFound, Text: "there is no such group: its jobs may be too old by now"}
	}
	p := proposal{Group: found.Groups[0]}
	err := r.get("/api/v1/unknown/"+url.PathEscape(id)+"/proposal", nil, &p.Proposal)
	if refused, is := errors.AsType[*handlers.RefusedError](err); is && refused.Code == http.StatusConflict {
		p.Refuse = refused.Text
		return p, nil
	}
	return p, err
}
