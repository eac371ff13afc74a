package gitlab_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// No redirect takes a token to another host or to plain HTTP, and none turns
// a POST into a GET.
func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host received a request: %s %s, headers %v", r.Method, r.URL, r.Header)
	}))
	t.Cleanup(other.Close)
	requested := 0
	var url string
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/user") { // so it is not GitLab as a whole
			_, _ = w.Write([]byte(`{"id": 1}`))
			return
		}
		requested++
		if requested > 40 {
			t.Error("round and round")
			return
		}
		switch {
		case r.URL.Query().Get("moved") != "":
			if r.Header.Get("Private-Token") != token {
				t.Errorf("no token after a redirect on the same host")
			}
			_, _ = w.Write([]byte(`{"id": 7}`))
		case strings.Contains(r.URL.Path, "/projects/1/"):
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
		case strings.Contains(r.URL.Path, "/projects/2/"):
			http.Redirect(w, r, r.URL.Path+"?moved=1", http.StatusPermanentRedirect)
		case strings.Contains(r.URL.Path, "/projects/3/"):
			http.Redirect(w, r, strings.Replace(url, "http:", "https:", 1)+r.URL.Path, http.StatusMovedPermanently)
		default:
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}
	})
	c, _ := newClient(t, url)
	ctx := t.Context()

	_, err := c.Job(ctx, 1, 7)
	if failed := failureOf(t, err); failed.Status != 302 || !strings.Contains(failed.Message, "GitLab redirects to "+other.URL+", where no token is sent") {
		t.Errorf("GET to another host: %v", err)
	} else if _, again := failed.Again(); !again || failed.Unavailable() {
		t.Errorf("again %v, unavailable %v: %v", again, failed.Unavailable(), err)
	}
	if _, err := c.Log(ctx, 1, 7); failureOf(t, err).Status != 302 {
		t.Errorf("log on another host: %v", err)
	}
	if _, err := c.Retry(ctx, 1, 7); failureOf(t, err).Status != 302 || failureOf(t, err).MaybeDone() {
		t.Errorf("POST to another host: %v", err)
	}
	if _, err := c.Job(ctx, 2, 7); err != nil {
		t.Errorf("GET on the same host: %v", err)
	}
	if _, err := c.Retry(ctx, 2, 7); failureOf(t, err).Status != 308 {
		t.Errorf("POST on the same host: %v", err)
	}
	if _, err := c.Job(ctx, 3, 7); failureOf(t, err).Status != 301 || !strings.Contains(err.Error(), "GitLab redirects to https://127.0.0.1") {
		t.Errorf("GET to https: %v", err)
	}
	requested = 0
	if _, err := c.Job(ctx, 4, 7); failureOf(t, err).Status != 302 || requested != 3*6 { // sent three times
		t.Errorf("GET in a circle: %d requests, %v", requested, err)
	}
}
