package page

import (
	"net/url"

	"github.com/pipesteward/pipesteward/handlers/admin"
)

// mostChanges is how many changes the view shows.
const mostChanges = "500"

func readChanges(r *request) (any, error) {
	var page admin.ChangesPage
	err := r.get("/api/v1/changes", url.Values{"limit": {mostChanges}}, &page)
	return page, err
}
