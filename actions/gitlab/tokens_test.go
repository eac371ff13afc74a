package gitlab_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// All views of a client send the new token, from the next request on.
func TestSetToken(t *testing.T) {
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	client, err := gitlab.New(gitlab.Config{BaseURL: gl.URL(), Token: gitlabtest.DefaultToken, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	views := []*gitlab.Client{client, client.Sweeping(), client.WithBudget(10)}
	gl.SetToken("the-next-token")
	for _, bad := range []string{"", "the-next-token\n", "two words"} {
		if err := client.SetToken(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("the token %q is taken, or in the error: %v", bad, err)
		}
	}
	if err := client.SetToken("the-next-token"); err != nil {
		t.Fatal(err)
	}
	for _, view := range views {
		if _, err := view.Project(t.Context(), strconv.FormatInt(project.ID, 10)); err != nil {
			t.Error(err)
		}
	}
}

// A client that is allowed no token sends none, not even an empty one; without that
// allowance there is no client.
func TestAnonymous(t *testing.T) {
	headers := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Clone()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"message":"401 Unauthorized"}`))
	}))
	defer server.Close()
	if _, err := gitlab.New(gitlab.Config{BaseURL: server.URL, Now: time.Now}); err == nil {
		t.Error("a client without a token is made")
	}
	client, err := gitlab.New(gitlab.Config{BaseURL: server.URL, Anonymous: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.TokenUser(t.Context()); !apierror.IsFinal(err, http.StatusUnauthorized) {
		t.Errorf("%v, want the 401", err)
	}
	sent := <-headers
	for _, name := range []string{"Private-Token", "Job-Token", "Authorization"} {
		if value, is := sent[name]; is {
			t.Errorf("%s: %q is sent", name, value)
		}
	}
}

// A server may echo what it was sent, also late: no token that ever was in force
// is in an error.
func TestTokensAreHidden(t *testing.T) {
	var echoed string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"message":%q}`, echoed)
	}))
	defer server.Close()
	client, err := gitlab.New(gitlab.Config{BaseURL: server.URL, Token: "glpat-first", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"glpat-second", "glpat-third"} {
		if err := client.SetToken(token); err != nil {
			t.Fatal(err)
		}
	}
	echoed = "not glpat-first, glpat-second, glpat-third"
	if _, err := client.Project(t.Context(), "1"); err == nil || !strings.Contains(err.Error(), "not [token], [token], [token]") {
		t.Errorf("error is %v", err)
	}
}
