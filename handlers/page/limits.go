package page

import "github.com/pipesteward/pipesteward/handlers/admin"

func readLimits(r *request) (any, error) {
	var limits admin.Limits
	err := r.get("/api/v1/limits", nil, &limits)
	return limits, err
}
