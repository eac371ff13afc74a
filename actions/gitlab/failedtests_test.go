package gitlab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func startForTests(t *testing.T) (*gitlabtest.Server, *gitlab.Client) {
	t.Helper()
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: func() time.Time { return noon }})
	client, _ := newClient(t, gl.URL(), func(c *gitlab.Config) { c.Token = gitlabtest.DefaultToken })
	return gl, client
}

// The failed tests of a job come with how often each failed in the last 14 days on the
// default branch, by the suite that the jobs of `parallel` share.
func TestFailedTests(t *testing.T) {
	t.Parallel()
	gl, c := startForTests(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	flaky := gitlabtest.TestCase{Status: "failed", Name: "signs in", Classname: "spec.login", File: "spec/login_spec.rb"}
	add := func(ref, name string, age time.Duration, tests ...gitlabtest.TestCase) gitlabtest.Job {
		p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: ref}, gitlabtest.Job{Name: name, Status: "failed", FinishedAt: noon.Add(-age), Tests: tests})
		return gl.Latest(p.ID, name)
	}
	day := 24 * time.Hour
	add("main", "rspec 1/2", day, flaky)
	add("main", "rspec 2/2", 13*day, flaky, gitlabtest.TestCase{Status: "success", Name: "signs out"})
	add("main", "rspec 1/2", 15*day, flaky) // long ago
	add("main", "jest", day, flaky)         // another suite
	add("feature", "rspec 1/2", day, flaky) // another branch
	add("main", "rspec", day, many(201)...) // too many for GitLab
	job := add("cart", "rspec 2/2", 0,
		gitlabtest.TestCase{Status: "success", Name: "adds"}, flaky, gitlabtest.TestCase{Status: "skipped", Name: "removes"},
		gitlabtest.TestCase{Status: "failed", Name: "test 1"}, gitlabtest.TestCase{Status: "error", Name: strings.Repeat("ä", 300)})

	got, err := c.FailedTests(t.Context(), event.Project{ID: project.ID, Path: "platform/shop"}, job.ID)
	want := []event.FailedTest{
		{Name: strings.Repeat("ä", 250) + "…"},
		{Name: "signs in", Suite: "spec.login", File: "spec/login_spec.rb", RecentFailures: 2},
		{Name: "test 1"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got):\n%s", err, diff)
	}
	if byID, err := c.FailedTests(t.Context(), event.Project{ID: project.ID}, job.ID); err != nil || len(byID) != 3 {
		t.Errorf("%v, %v, want the same for a project whose path an old hook does not have", byID, err)
	}

	many := add("cart", "many", 0, append(many(250), gitlabtest.TestCase{Status: "success", Name: "adds"})...)
	before := gl.Count(http.MethodPost, "/api/graphql")
	if got, err := c.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, many.ID); err != nil || len(got) != 250 || gl.Count(http.MethodPost, "/api/graphql")-before != 3 {
		t.Errorf("%d tests, %v, want 250 in 3 pages", len(got), err)
	}
	if none, err := c.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, add("cart", "lint", 0).ID); err != nil || len(none) != 0 {
		t.Errorf("a job without a report: %v, %v", none, err)
	}
	gl.SetAccessToken(gitlabtest.AccessToken{Grants: []gitlabtest.Grant{{Access: "all_memberships", Permissions: []string{"read_job", "read_pipeline"}}}})
	if none, err := c.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, job.ID); err != nil || len(none) != 0 {
		t.Errorf("a fine-grained token: %v, %v, want none, as GitLab answers it", none, err)
	}
	gl.SetAccessToken(gitlabtest.AccessToken{})
	if _, err := gl.Retry(job.ID); err != nil {
		t.Fatal(err)
	}
	if none, err := c.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, job.ID); err != nil || len(none) != 0 {
		t.Errorf("a job that was retried: %v, %v", none, err)
	}
}

// many returns tests that failed.
func many(n int) (tests []gitlabtest.TestCase) {
	for i := range n {
		tests = append(tests, gitlabtest.TestCase{Status: "failed", Name: fmt.Sprintf("test %d", i)})
	}
	return tests
}

// What GitLab does not tell is an error, and not a list that lacks something; whether it
// passes is as for other requests.
func TestFailedTestsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prepare func(gl *gitlabtest.Server, job gitlabtest.Job)
		want    string
		passes  bool
	}{
		{name: "more than 500 failed", prepare: func(gl *gitlabtest.Server, job gitlabtest.Job) { gl.SetTests(job.ID, "", many(501)...) }, want: "501 tests of the job failed, and tests() has 500 at most"},
		{name: "a broken report", prepare: func(gl *gitlabtest.Server, job gitlabtest.Job) {
			gl.SetTests(job.ID, "JUnit XML parsing failed: 1:1: FATAL: Document is empty")
		}, want: "a JUnit report of the job can't be read: JUnit XML parsing failed"},
		{name: "a project that the token does not see", prepare: func(gl *gitlabtest.Server, job gitlabtest.Job) { gl.SetRole(job.ProjectID, gitlabtest.NoAccess) }, want: "404 Project Not Found"},
		{name: "no such job", prepare: func(gl *gitlabtest.Server, _ gitlabtest.Job) {
			gl.AddProject(gitlabtest.Project{Path: "platform/other"})
		}, want: "404 Not found"},
		{name: "GitLab fails", prepare: func(gl *gitlabtest.Server, _ gitlabtest.Job) {
			gl.Fail(gitlabtest.Fault{Path: "/graphql", Times: -1, Status: http.StatusServiceUnavailable})
		}, want: "503", passes: true},
		{name: "an error of the query that passes", prepare: queryFails("Timeout on TestSuite.testCases"), want: "503 Timeout on TestSuite.testCases", passes: true},
		{name: "an old server", prepare: queryFails("Field 'testSuite' doesn't exist on type 'Pipeline'"), want: "400 Field 'testSuite' doesn't exist on type 'Pipeline'"},
		{name: "a refusal", prepare: queryFails("Access denied: This operation doesn't support fine-grained personal access tokens."), want: "403 Access denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gl, client := startForTests(t)
			project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
			p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Status: "failed"})
			job := gl.Latest(p.ID, "rspec")
			path := "platform/shop"
			c.prepare(gl, job)
			if c.name == "no such job" {
				path = "platform/other"
			}
			_, err := client.FailedTests(t.Context(), event.Project{Path: path}, job.ID)
			if err == nil || !strings.Contains(err.Error(), c.want) || event.Transient(err) != c.passes {
				t.Errorf("error %v, want %q; passes: %t", err, c.want, c.passes)
			}
		})
	}
}

func queryFails(message string) func(*gitlabtest.Server, gitlabtest.Job) {
	return func(gl *gitlabtest.Server, _ gitlabtest.Job) {
		gl.Fail(gitlabtest.Fault{Path: "/graphql", Times: -1, QueryError: message})
	}
}

// An answer that lacks tests that it counts is an error that passes, and not a list of those
// that it has.
func TestAnswersThatLackFailedTests(t *testing.T) {
	t.Parallel()
	const lacks = -1
	const node, last, more = `{"status":"failed","name":"known to be flaky","recentFailures":{"count":9}}`, `{"hasNextPage":false}`, `{"hasNextPage":true,"endCursor":"x"}`
	cases := func(nodes, page string) string { return `{"nodes":` + nodes + `,"pageInfo":` + page + `}` }
	for _, c := range []struct {
		name  string
		pages []string // testSuite of each page
		want  int      // tests; lacks: an error
	}{
		{name: "all", pages: []string{suite("1", "0", cases("["+node+"]", last))}, want: 1},
		{name: "a page lacks some", pages: []string{suite("5", "0", cases("["+node+"]", last))}, want: lacks},
		{name: "one with an error", pages: []string{suite("1", "1", cases("["+node+"]", last))}, want: lacks},
		{name: "no list", pages: []string{suite("5", "0", "null")}, want: lacks},
		{name: "no nodes", pages: []string{suite("5", "0", cases("null", last))}, want: lacks},
		{name: "no page info", pages: []string{suite("5", "0", cases("["+node+"]", "null"))}, want: lacks},
		{name: "a node is null", pages: []string{suite("2", "0", cases("["+node+",null]", last))}, want: lacks},
		{name: "a node that did not fail is null", pages: []string{suite("1", "0", cases("["+node+",null]", last))}, want: 1},
		{name: "no count", pages: []string{suite("null", "0", cases("["+node+"]", last))}, want: lacks},
		{name: "no count of errors", pages: []string{suite("1", "null", cases("["+node+"]", last))}, want: lacks},
		{name: "two pages", pages: []string{suite("2", "0", cases("["+node+"]", more)), suite("2", "0", cases("["+node+"]", last))}, want: 2},
		{name: "the next page lacks some", pages: []string{suite("5", "0", cases("["+node+"]", more)), suite("5", "0", cases("[]", last))}, want: lacks},
		{name: "no cursor", pages: []string{suite("2", "0", cases("["+node+"]", `{"hasNextPage":true,"endCursor":null}`))}, want: lacks},
		{name: "the same cursor again", pages: []string{suite("3", "0", cases("["+node+"]", more)), suite("3", "0", cases("["+node+"]", more))}, want: lacks},
		{name: "it is retried meanwhile", pages: []string{suite("2", "0", cases("["+node+"]", more)), "null"}, want: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gl := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				page := c.pages[0]
				if strings.Contains(string(body), `"after":"x"`) {
					page = c.pages[1]
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(w, `{"data":{"project":{"job":{"pipeline":{"testSuite":%s}}}}}`, page)
			}))
			defer gl.Close()
			client, _ := newClient(t, gl.URL)
			got, err := client.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, 7)
			if len(got) != max(c.want, 0) || (c.want == lacks) != event.Transient(err) {
				t.Errorf("%d tests, error %v, want %d", len(got), err, c.want)
			}
		})
	}
}

// suite is the JSON of a test suite.
func suite(failed, errors, cases string) string {
	return `{"failedCount":` + failed + `,"errorCount":` + errors + `,"suiteError":null,"testCases":` + cases + `}`
}

// A query is a read: it is sent again after a failure, needs no right to change anything,
// and a token that GitLab refuses is a trouble of the bot.
func TestQueriesAreReads(t *testing.T) {
	t.Parallel()
	gl, client := startForTests(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Status: "failed", Tests: many(2)})
	job := gl.Latest(p.ID, "rspec")
	gl.Fail(gitlabtest.Fault{Path: "/graphql", Times: 2, Status: http.StatusBadGateway})
	if got, err := client.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, job.ID); err != nil || len(got) != 2 {
		t.Errorf("%v, %v, want 2 tests at the third try", got, err)
	}
	for _, r := range gl.Requests() {
		if strings.Contains(r.Body, gitlabtest.DefaultToken) {
			t.Error("the token is in the body")
		}
	}
	gated := client.Gated(func(context.Context) error { return errors.New("nothing may be changed") })
	if got, err := gated.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, job.ID); err != nil || len(got) != 2 {
		t.Errorf("%v, %v, want 2 tests, though nothing may be changed", got, err)
	}
	gl.SetToken("another")
	if _, err := client.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, job.ID); !event.Unavailable(err) {
		t.Errorf("error %v, want that the token is refused", err)
	}
}

// Queries have the same URL, and are not taken for each other.
func TestQueriesAtTheSameTime(t *testing.T) {
	t.Parallel()
	gl, client := startForTests(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	var wg sync.WaitGroup
	for n := range 20 {
		p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Status: "failed", Tests: many(n)})
		job := gl.Latest(p.ID, "rspec")
		wg.Go(func() {
			if got, err := client.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, job.ID); err != nil || len(got) != n {
				t.Errorf("%d tests, %v, want %d", len(got), err, n)
			}
		})
	}
	wg.Wait()
}

// A GitLab below a path has its GraphQL API there, too.
func TestQueryBelowAPath(t *testing.T) {
	t.Parallel()
	path := make(chan string, 1)
	gl := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path <- r.Method + " " + r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":{"project":null}}`))
	}))
	defer gl.Close()
	client, _ := newClient(t, gl.URL+"/gitlab")
	_, err := client.FailedTests(t.Context(), event.Project{Path: "platform/shop"}, 7)
	if got := <-path; got != "POST /gitlab/api/graphql" || err == nil {
		t.Errorf("%s, %v", got, err)
	}
}
