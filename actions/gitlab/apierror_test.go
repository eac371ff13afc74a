package gitlab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
)

// request describes a request, with its body.
func request(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	return strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
}

// failure calls an endpoint that must fail with an *Error.
func failure(t *testing.T, c *gitlab.Client, endpoint string) *apierror.Error {
	t.Helper()
	return failureOf(t, calls[endpoint](t.Context(), c))
}

// What each answer means, and that GitLab's words come through.
func TestClassification(t *testing.T) {
	type verdict struct {
		Again     bool
		After     time.Duration
		Rights    bool
		MaybeDone bool
		Message   string
		Trouble   apierror.TroubleKind
	}
	const json, text, page = "application/json", "text/plain", "text/html; charset=utf-8"
	tests := []struct {
		name       string
		endpoint   string
		status     int
		kind, body string
		header     http.Header
		want       verdict
	}{
		{
			name: "bad request", endpoint: "play", status: 400, kind: json, body: `{"message":"400 Bad request - Unplayable Job"}`,
			want: verdict{Message: "400 Bad request - Unplayable Job"},
		},
		{
			name: "unknown scope", endpoint: "project_jobs", status: 400, kind: json, body: `{"error":"scope does not have a valid value"}`,
			want: verdict{Message: "scope does not have a valid value"},
		},
		{
			name: "wrong token", endpoint: "job", status: 401, kind: json, body: `{"message":"401 Unauthorized"}`,
			want: verdict{Again: true, After: time.Second, Message: "401 Unauthorized", Trouble: apierror.TroubleToken},
		},
		{
			name: "expired token", endpoint: "retry", status: 401, kind: json, body: `{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}`,
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleToken, Message: "invalid_token, Token is expired. You can either do re-authorization or token refresh."},
		},
		{
			name: "no right", endpoint: "retry", status: 403, kind: json, body: `{"message":"403 Forbidden"}`,
			want: verdict{Rights: true, Message: "403 Forbidden"},
		},
		{
			name: "scope too small", endpoint: "erase", status: 403, kind: json, body: `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}`,
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleScope, Message: "insufficient_scope, The request requires higher privileges than provided by the access token., scope: api"},
		},
		{
			name: "fine-grained token without the permission", endpoint: "retry", status: 403, kind: json, body: `{"error":"insufficient_granular_scope","error_description":"Access denied: Your Personal Access Token lacks the required permissions: [retry_job] for \"a/b\"."}`,
			want: verdict{Rights: true, Message: `insufficient_granular_scope, Access denied: Your Personal Access Token lacks the required permissions: [retry_job] for "a/b".`},
		},
		{
			name: "blocked user", endpoint: "job", status: 403, kind: json, body: `{"message":"403 Forbidden - Your account has been blocked."}`,
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleToken, Message: "403 Forbidden - Your account has been blocked."},
		},
		{
			name: "a gateway's refusal", endpoint: "retry", status: 403, kind: text, body: "Forbidden\n",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "Forbidden"},
		},
		{
			name: "an ingress without GitLab", endpoint: "job", status: 404, kind: text, body: "default backend - 404",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "default backend - 404"},
		},
		{
			name: "an ingress without GitLab, for a log", endpoint: "log", status: 404, kind: text, body: "default backend - 404",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "default backend - 404"},
		},
		{
			name: "a login page instead of a refusal", endpoint: "retry", status: 403, kind: page, body: "<title>Access denied</title>",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "Access denied"},
		},
		{
			name: "another server's answer", endpoint: "job", status: 200, kind: text, body: "OK",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "the answer is no JSON, as GitLab's are: is the GitLab URL right, and is there no other server in front of it?"},
		},
		{
			name: "a proxy that wants a password", endpoint: "retry", status: 407, kind: page, body: "<title>Proxy</title>",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "Proxy"},
		},
		{
			name: "locked", endpoint: "retry", status: 423, kind: json, body: `{"message":"423 Locked"}`,
			want: verdict{Again: true, Message: "423 Locked"},
		},
		{
			name: "a proxy's client went away", endpoint: "retry", status: 499, kind: text, body: "",
			want: verdict{Again: true, MaybeDone: true, Message: "no reason given"},
		},
		{
			name: "not retryable", endpoint: "retry", status: 403, kind: json, body: `{"message":"403 Forbidden - Job is not retryable"}`,
			want: verdict{Message: "403 Forbidden - Job is not retryable: it was retried already, is archived, or its deployment was rejected"},
		},
		{
			name: "a trigger job on an old server", endpoint: "retry", status: 404, kind: json, body: `{"message":"404 Not found"}`,
			want: verdict{Message: "404 Not found (before 17.0, GitLab retries no trigger job through its API)"},
		},
		{
			name: "not erasable", endpoint: "erase", status: 403, kind: json, body: `{"message":"403 Forbidden - Job is not erasable!"}`,
			want: verdict{Message: "403 Forbidden - Job is not erasable!"},
		},
		{
			name: "not found", endpoint: "job", status: 404, kind: json, body: `{"message":"404 Project Not Found"}`,
			want: verdict{Message: "404 Project Not Found"},
		},
		{
			name: "not allowed", endpoint: "retry", status: 405, kind: json, body: `{"message":"405 Method Not Allowed"}`,
			want: verdict{Message: "405 Method Not Allowed"},
		},
		{
			name: "request time-out", endpoint: "retry", status: 408, kind: text, body: "",
			want: verdict{Again: true, Message: "Request Timeout"},
		},
		{
			name: "erase during a size refresh", endpoint: "erase", status: 409, kind: json, body: `{"message":"409 Conflict - Action temporarily disabled. The project this pipeline belongs to is undergoing stats refresh."}`,
			want: verdict{Again: true, Message: "409 Conflict - Action temporarily disabled. The project this pipeline belongs to is undergoing stats refresh."},
		},
		{
			name: "a lock", endpoint: "retry", status: 409, kind: json, body: `{"message":"409 Conflict: Resource lock"}`,
			want: verdict{Again: true, Message: "409 Conflict: Resource lock"},
		},
		{
			name: "a lock while a fact is read", endpoint: "job", status: 409, kind: json, body: `{"message":"409 Conflict: Resource lock"}`,
			want: verdict{Again: true, Message: "409 Conflict: Resource lock"},
		},
		{
			name: "unprocessable, by field", endpoint: "play", status: 422, kind: json, body: `{"message":{"base":["is wrong"],"job_variables.key":["has already been taken","is short"]}}`,
			want: verdict{Message: "is wrong, job_variables.key: has already been taken, is short"},
		},
		{
			name: "too many, with a time", endpoint: "retry", status: 429, kind: text, body: "Retry later\n", header: http.Header{"Retry-After": {"60"}},
			want: verdict{Again: true, After: time.Minute, Message: "Retry later"},
		},
		{
			name: "too many, with a date", endpoint: "job", status: 429, kind: text, body: "Retry later", header: http.Header{"Retry-After": {noon.Add(time.Minute).Format(http.TimeFormat)}},
			want: verdict{Again: true, After: time.Minute, Message: "Retry later"},
		},
		{
			name: "too many, with the window", endpoint: "job", status: 429, kind: text, body: "Retry later", header: http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {"1795348890"}},
			want: verdict{Again: true, After: 90 * time.Second, Message: "Retry later"},
		},
		{
			name: "too many, without a time", endpoint: "play", status: 429, kind: text, body: "Retry later",
			want: verdict{Again: true, Message: "Retry later"},
		},
		{
			name: "broken Retry-After", endpoint: "retry", status: 429, kind: text, body: "Retry later", header: http.Header{"Retry-After": {"99999999999999"}},
			want: verdict{Again: true, After: time.Hour, Message: "Retry later"},
		},
		{
			name: "GitLab's own fault", endpoint: "retry", status: 500, kind: json, body: `{"message":"500 Internal Server Error"}`,
			want: verdict{Again: true, MaybeDone: true, Message: "500 Internal Server Error"},
		},
		{
			name: "the proxy's page", endpoint: "job", status: 502, kind: page, body: "<!DOCTYPE html>\n<html><head><title>GitLab is not\n responding (502)</title></head><body>...</body></html>",
			want: verdict{Again: true, Message: "GitLab is not responding (502)"},
		},
		{
			name: "a page without title", endpoint: "erase", status: 503, kind: page, body: "<html><style>b{}</style><body><h1>Deploy in progress</h1><p>Back &amp; soon</p></body>", header: http.Header{"Retry-After": {"300"}},
			want: verdict{Again: true, After: 5 * time.Minute, MaybeDone: true, Message: "Deploy in progress Back & soon"},
		},
		{
			name: "no words", endpoint: "cancel", status: 504, kind: text, body: "",
			want: verdict{Again: true, MaybeDone: true, Message: "Gateway Timeout"},
		},
		{
			name: "a long answer", endpoint: "cancel", status: 500, kind: text, body: strings.Repeat("é\x00\n", 200_000),
			want: verdict{Again: true, MaybeDone: true, Message: strings.Repeat("é ", 100) + "..."},
		},
		{
			name: "a login page", endpoint: "job", status: 200, kind: page, body: "<title>Sign in</title>",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "GitLab answered with a web page: is the GitLab URL right, and is there no login page in front of it?"},
		},
		{
			name: "a login page for a log", endpoint: "log", status: 200, kind: page, body: "<title>Sign in</title>",
			want: verdict{Again: true, After: time.Second, Trouble: apierror.TroubleAnswers, Message: "GitLab answered with a web page: is the GitLab URL right, and is there no login page in front of it?"},
		},
		{
			name: "half an answer", endpoint: "retry", status: 201, kind: json, body: `{"id": 8, "name": "rsp`,
			want: verdict{Again: true, MaybeDone: true, Message: "the answer can't be read: unexpected EOF"},
		},
		{
			name: "another answer", endpoint: "pipeline_jobs", status: 200, kind: json, body: `{"jobs": []}`,
			want: verdict{Again: true, Message: "the answer can't be read: json: cannot unmarshal object into Go value of type []gitlab.jobJSON"},
		},
		{
			name: "no job", endpoint: "retry", status: 201, kind: json, body: `null`,
			want: verdict{Again: true, MaybeDone: true, Message: "the answer is no job"},
		},
		{
			name: "an endless answer", endpoint: "cancel", status: 200, kind: json, body: `{"name": "` + strings.Repeat("x", 17<<20),
			want: verdict{Again: true, MaybeDone: true, Message: "the answer can't be read: longer than 16777216 bytes"},
		},
		{
			name: "a Link header that client-go panics at", endpoint: "bridges", status: 200, kind: json, body: `[]`, header: http.Header{"Link": {"<https://example.com>; rel"}},
			want: verdict{Again: true, Message: "the answer's Link header can't be read"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range tt.header {
					w.Header()[name] = values
				}
				w.Header().Set("Content-Type", tt.kind)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			c, _ := newClient(t, url)
			failed := failure(t, c, tt.endpoint)

			got := verdict{Rights: failed.Rights(), MaybeDone: failed.MaybeDone(), Message: failed.Message}
			got.After, got.Again = failed.Again()
			if trouble, is := c.Trouble(); is {
				got.Trouble = trouble.Kind
			}
			if failed.Unavailable() != (got.Trouble != "") {
				t.Errorf("unavailable %v, trouble %q", failed.Unavailable(), got.Trouble)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if failed.Endpoint != tt.endpoint {
				t.Errorf("endpoint %q, want %q", failed.Endpoint, tt.endpoint)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	status, body := 0, ""
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	c, _ := newClient(t, url)
	for _, tt := range []struct {
		status int
		body   string
		want   string
	}{
		{403, `{"message":"403 Forbidden - Job is not retryable"}`, "gitlab: POST /projects/1/jobs/7/retry: 403 Forbidden - Job is not retryable: it was retried already, is archived, or its deployment was rejected"},
		{429, "Retry later", "gitlab: POST /projects/1/jobs/7/retry: 429 Retry later"},
	} {
		status, body = tt.status, tt.body
		if _, err := c.Retry(t.Context(), 1, 7); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
}

// A POST that may have reached GitLab is distinguished from one that can't have.
func TestMaybeDone(t *testing.T) {
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	gone := httptest.NewServer(nil)
	gone.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})

	tests := []struct {
		name string
		url  string
		want bool
	}{
		{"cut after it was written", cut, true},
		{"nobody there", gone.URL, false},
		{"no TLS there", strings.Replace(plain, "http:", "https:", 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantMaybeDone(t, tt.url, tt.want) })
	}
	t.Run("no answer in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { wantMaybeDone(t, "http://gitlab.example.com", true, silent) })
	})
}

// silent has a server that reads all and answers nothing.
func silent(cfg *gitlab.Config) {
	cfg.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		return ours, nil
	}}
}

func wantMaybeDone(t *testing.T, url string, want bool, edit ...func(*gitlab.Config)) {
	t.Helper()
	observed := -1
	c, _ := newClient(t, url, append(edit, func(cfg *gitlab.Config) {
		cfg.Observe = func(_ context.Context, _ string, code int) { observed = code }
	})...)
	failed := failure(t, c, "retry")
	if failed.MaybeDone() != want {
		t.Errorf("MaybeDone %v, want %v: %v", failed.MaybeDone(), want, failed)
	}
	if _, again := failed.Again(); !again || failed.Status != 0 {
		t.Errorf("again %v, status %d: %v", again, failed.Status, failed)
	}
	if observed != 0 {
		t.Errorf("observed code %d, want 0", observed)
	}
	if failed := failure(t, c, "job"); failed.MaybeDone() {
		t.Errorf("a GET may have been done: %v", failed)
	}
}

// An ended context comes back as itself, at once, whatever the call.
func TestContext(t *testing.T) {
	for endpoint, do := range calls {
		t.Run(endpoint, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				cancel()
				<-r.Context().Done()
			})
			c, clk := newClient(t, url)
			err := do(ctx, c)
			var failed *apierror.Error
			if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
				t.Errorf("error %v, want the context's", err)
			}
			if len(clk.slept) > 0 {
				t.Errorf("slept %v", clk.slept)
			}
		})
	}
}

// No error of any call contains a token, even if the server sends it back.
func TestNoTokenInErrors(t *testing.T) {
	both := token + " and " + jobToken
	servers := map[string]http.HandlerFunc{
		"JSON":   func(w http.ResponseWriter, _ *http.Request) { answer(w, 401, `{"message":"401 `+both+`"}`) },
		"text":   func(w http.ResponseWriter, _ *http.Request) { answer(w, 500, both) },
		"page":   func(w http.ResponseWriter, _ *http.Request) { answer(w, 403, "<title>"+both+"</title>") },
		"at cut": func(w http.ResponseWriter, _ *http.Request) { answer(w, 400, strings.Repeat("x", 290)+both) },
		"field": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 422, `{"message":{"`+token+`":["`+jobToken+`"]}}`)
		},
		"success": func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `"`+both+`"`) },
		"link": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "<"+both+">; rel")
			answer(w, 200, "[]")
		},
		"redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://"+token+".example.com/"+jobToken)
			answer(w, 302, both)
		},
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, handler := range servers {
		t.Run(name, func(t *testing.T) {
			url := serve(t, handler)
			c, _ := newClient(t, url)
			for endpoint, do := range calls {
				err := do(t.Context(), c)
				// A log may be any text.
				if err == nil && (name != "success" || endpoint != "log") {
					t.Errorf("%s: no error", endpoint)
				}
				if err != nil && (strings.Contains(err.Error(), token[:12]) || strings.Contains(err.Error(), jobToken[:12])) {
					t.Errorf("%s: the error holds a token: %v", endpoint, err)
				}
			}
		})
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
