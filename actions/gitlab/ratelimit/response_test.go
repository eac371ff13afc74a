package ratelimit

import (
	"net/http"
	"testing"
	"time"
)

func TestRequiredWait(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	reset := "1793534460" // a minute later
	for _, tt := range []struct {
		name   string
		header map[string]string
		want   time.Duration
	}{
		{"nothing", nil, 0},
		{"seconds", map[string]string{"Retry-After": "7"}, 7 * time.Second},
		{"a date", map[string]string{"Retry-After": "Sun, 01 Nov 2026 12:00:30 GMT"}, 30 * time.Second},
		{"a broken header", map[string]string{"Retry-After": "soon"}, 0},
		{"nothing remains", map[string]string{"RateLimit-Limit": "100", "RateLimit-Remaining": "0", "RateLimit-Reset": reset}, time.Minute},
		{"little remains", map[string]string{"RateLimit-Limit": "100", "RateLimit-Remaining": "5", "RateLimit-Reset": reset}, 10 * time.Second},
		{"enough remains", map[string]string{"RateLimit-Limit": "100", "RateLimit-Remaining": "50", "RateLimit-Reset": reset}, 0},
	} {
		h := http.Header{}
		for name, value := range tt.header {
			h.Set(name, value)
		}
		if got := requiredWait(h, now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The answer of an application limit is a JSON object; that of a general limit is
// not.
func TestIsEndpointLimit(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   bool
	}{
		{http.StatusTooManyRequests, `{"message": {"error": "This endpoint has been requested too many times. Try again later."}}`, true},
		{http.StatusTooManyRequests, "Retry later\n", false},
		{http.StatusServiceUnavailable, `{"message": "503"}`, false},
	} {
		if got := (Response{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)}).IsEndpointLimit(); got != tt.want {
			t.Errorf("%d %s: %t, want %t", tt.status, tt.body, got, tt.want)
		}
	}
}

func TestScope(t *testing.T) {
	for _, tt := range []struct {
		request Request
		want    string
	}{
		{Request{Endpoint: "retry", Path: "projects/7/jobs/8/retry"}, "retry:projects/7"},
		{Request{Endpoint: "project_jobs", Path: "projects/7/jobs"}, "project_jobs"},
		{Request{Endpoint: "user", Path: "user"}, "user:user"},
	} {
		if got := tt.request.scope(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.request, got, tt.want)
		}
	}
}

func TestReadQuota(t *testing.T) {
	h := http.Header{}
	if q, ok := ReadQuota(h); ok {
		t.Errorf("no headers are the quota %+v", q)
	}
	h.Set("RateLimit-Limit", "2000")
	h.Set("RateLimit-Remaining", "1999")
	h.Set("RateLimit-Name", "throttle_authenticated_api")
	if q, ok := ReadQuota(h); !ok || q != (Quota{"throttle_authenticated_api", 2000, 1999}) {
		t.Errorf("quota %+v, %t", q, ok)
	}
}
