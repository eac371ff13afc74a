package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Bounds on the failed tests of a job. A test's texts are cut, but of a job with more
// failed tests there is an error: a list that lacks some would say that only those failed.
const (
	maxFailedTests = 500
	maxTestPages   = 20 // of 100 tests; before 13.9 failed ones are anywhere in the list
	maxTestText    = 500
)

// failedTests is the query for the tests in the JUnit reports of a job. Only GraphQL tells
// how often a test failed lately on the default branch (TestSuiteResolver in GitLab's
// source, 13.12 and later, in GitLab Free too): the REST API's test_report does not, and in
// it the jobs of `parallel` are one suite.
const failedTests = `query($project: ID!, $job: JobID!, $jobs: [ID!]!, $after: String) {
  project(fullPath: $project) { job(id: $job) { pipeline { testSuite(buildIds: $jobs) {
    failedCount errorCount suiteError
    testCases(first: 100, after: $after) {
      nodes { status name classname file recentFailures { count } }
      pageInfo { hasNextPage endCursor }
    }
  } } } }
}`

// testSuiteJSON is a page of a test suite. GitLab may answer null for each of its fields,
// and then tells nothing else about why (TestSuiteType in its source).
type testSuiteJSON struct {
	FailedCount *int   `json:"failedCount"`
	ErrorCount  *int   `json:"errorCount"`
	Error       string `json:"suiteError"`
	Cases       struct {
		Nodes []struct {
			Status    string `json:"status"`
			Name      string `json:"name"`
			Classname string `json:"classname"`
			File      string `json:"file"`
			Recent    struct {
				Count int64 `json:"count"`
			} `json:"recentFailures"`
		} `json:"nodes"`
		Page struct {
			More bool   `json:"hasNextPage"`
			End  string `json:"endCursor"`
		} `json:"pageInfo"`
	} `json:"testCases"`
}

type testsJSON struct {
	Data struct {
		Project *struct {
			Job *struct {
				Pipeline struct {
					Suite *testSuiteJSON `json:"testSuite"` // null: no report, or none that the token may read
				} `json:"pipeline"`
			} `json:"job"`
		} `json:"project"`
	} `json:"data"`
	Errors []struct {
		Message string `json:"message"`
	} `json:"errors"`
}

// FailedTests returns the tests that failed, or had an error, in the JUnit reports of a job;
// none if it has no report, was retried already, or if the token is a fine-grained one, which
// may read no reports. It is an error if a report can't be read, or if more than 500 failed;
// a transient one if the answer lacks some of those that it counts.
func (c *Client) FailedTests(ctx context.Context, project event.Project, job int64) ([]event.FailedTest, error) {
	path := project.Path
	if path == "" { // old hooks do not have it
		full, err := c.Project(ctx, strconv.FormatInt(project.ID, 10))
		if err != nil {
			return nil, err
		}
		path = full.Path
	}
	var all []event.FailedTest
	after := ""
	for range maxTestPages {
		suite, r, err := c.testSuite(ctx, path, job, after)
		switch {
		case err != nil || suite == nil:
			return nil, err
		case suite.Error != "":
			return nil, rest.Refused(c.Client, r, http.StatusUnprocessableEntity, "a JUnit report of the job can't be read: "+suite.Error)
		case suite.FailedCount == nil || suite.ErrorCount == nil:
			return nil, rest.Refused(c.Client, r, http.StatusServiceUnavailable, "the answer does not say how many tests failed")
		}
		failed := *suite.FailedCount + *suite.ErrorCount
		if failed > maxFailedTests {
			return nil, rest.Refused(c.Client, r, http.StatusUnprocessableEntity, fmt.Sprintf("%d tests of the job failed, and tests() has %d at most", failed, maxFailedTests))
		}
		for _, t := range suite.Cases.Nodes { // a node that is null has no status
			if t.Status == "failed" || t.Status == "error" {
				all = append(all, event.FailedTest{Name: cutText(t.Name), Suite: cutText(t.Classname), File: cutText(t.File), RecentFailures: t.Recent.Count})
			}
		}
		next := suite.Cases.Page
		switch {
		case len(all) >= failed:
			return all, nil
		case !next.More || next.End == "" || next.End == after: // no page has the others
			return nil, rest.Refused(c.Client, r, http.StatusServiceUnavailable, fmt.Sprintf("the answer has %d of the %d tests that failed", len(all), failed))
		}
		after = next.End
	}
	return nil, fmt.Errorf("gitlab: job %d: its failed tests are not among the first %d tests of its report", job, maxTestPages*100)
}

// testSuite returns a page of the tests of a job, nil if it has no report that may be read,
// and the request for it.
func (c *Client) testSuite(ctx context.Context, path string, job int64, after string) (*testSuiteJSON, rest.Request, error) {
	variables := map[string]any{"project": path, "job": fmt.Sprintf("gid://gitlab/Ci::Build/%d", job), "jobs": []string{strconv.FormatInt(job, 10)}}
	if after != "" {
		variables["after"] = after
	}
	r := rest.Request{
		Method: http.MethodGet, Endpoint: endpoint.TestSuite, Path: fmt.Sprintf("graphql/testSuite/%d", job),
		Query: &gl.GraphQLQuery{Query: failedTests, Variables: variables},
	}
	answer, _, err := rest.Call(ctx, c.Client, r, testsJSON{})
	switch {
	case err != nil:
		return nil, r, err
	case len(answer.Errors) > 0:
		message := answer.Errors[0].Message
		return nil, r, rest.Refused(c.Client, r, queryStatus(message), message)
	case answer.Data.Project == nil: // also if the token's user may not see it
		return nil, r, rest.Refused(c.Client, r, http.StatusNotFound, "404 Project Not Found")
	case answer.Data.Project.Job == nil:
		return nil, r, rest.Refused(c.Client, r, http.StatusNotFound, "404 Not found")
	}
	return answer.Data.Project.Job.Pipeline.Suite, r, nil
}

// queryStatus returns the status that the REST API would have for an error of a query.
func queryStatus(message string) int {
	switch {
	case denied.MatchString(message):
		return http.StatusForbidden
	case timedOut.MatchString(message):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

var (
	denied   = regexp.MustCompile(`(?i)\b(access denied|(don't|do not) have permission)\b`)
	timedOut = regexp.MustCompile(`(?i)\b(time-?out|timed out|internal server error)\b`)
)

// cutText returns the beginning of a text of a report.
func cutText(text string) string {
	if len(text) <= maxTestText {
		return text
	}
	return strings.ToValidUTF8(text[:maxTestText], "") + "…"
}
