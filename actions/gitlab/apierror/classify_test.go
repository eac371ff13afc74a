package apierror_test

import (
	"net/http"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// A failure is about the moment (again), about the bot's rights, or final.
func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		status                  int
		message                 string
		again, rights, conflict bool
	}{
		{status: 0, message: "connection refused", again: true},
		{status: 200, message: "the answer can't be read", again: true},
		{status: 400, message: "400 Bad request - Unplayable Job"},
		{status: 403, message: "403 Forbidden", rights: true},
		{status: 403, message: "403 Forbidden - Job is not retryable"},
		{status: 404, message: "404 Not found"},
		{status: 409, message: "409 Conflict: Resource lock", again: true},
		{status: 409, message: "Action temporarily disabled. The project this pipeline belongs to is undergoing stats refresh.", again: true, conflict: true},
		{status: 423, message: "423 Locked", again: true},
		{status: 429, message: "Retry later", again: true},
		{status: 499, message: "client closed request", again: true},
		{status: 502, message: "502 Bad Gateway", again: true},
	} {
		e := apierror.New(apierror.Failure{Method: http.MethodPost, Endpoint: endpoint.Erase, Path: "projects/1/jobs/7/erase", Status: tt.status, Message: tt.message})
		if _, again := e.Again(); again != tt.again || e.Rights() != tt.rights || e.Conflict() != tt.conflict {
			t.Errorf("%v: again %t, rights %t, conflict %t", e, again, e.Rights(), e.Conflict())
		}
	}
}

// A POST that GitLab may have received, and answered with no clear refusal, may
// have taken effect.
func TestMaybeDone(t *testing.T) {
	for _, tt := range []struct {
		failure apierror.Failure
		want    bool
	}{
		{apierror.Failure{Method: http.MethodPost, Written: true}, true},
		{apierror.Failure{Method: http.MethodPost, Written: true, Status: 502}, true},
		{apierror.Failure{Method: http.MethodPost, Written: true, Status: 499}, true},
		{apierror.Failure{Method: http.MethodPost, Written: true, Status: 403}, false},
		{apierror.Failure{Method: http.MethodPost}, false},
		{apierror.Failure{Method: http.MethodGet, Written: true}, false},
	} {
		if got := apierror.New(tt.failure).MaybeDone(); got != tt.want {
			t.Errorf("%+v: %t, want %t", tt.failure, got, tt.want)
		}
	}
}
