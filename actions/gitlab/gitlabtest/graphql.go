package gitlabtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// graphQLPath is the path of the GraphQL API.
const graphQLPath = "/api/graphql"

// graphQLTypes are the fields of the schema's types that are simulated, with the type of
// each; "" is a scalar.
var graphQLTypes = map[string]map[string]string{
	"Query":    {"project": "Project"},
	"Project":  {"job": "CiJob"},
	"CiJob":    {"pipeline": "Pipeline"},
	"Pipeline": {"testSuite": "TestSuite"},
	"TestSuite": {
		"name": "", "totalCount": "", "successCount": "", "failedCount": "", "skippedCount": "", "errorCount": "", "suiteError": "",
		"testCases": "TestCaseConnection",
	},
	"TestCaseConnection": {"nodes": "TestCase", "pageInfo": "PageInfo"},
	"PageInfo":           {"hasNextPage": "", "endCursor": ""},
	"TestCase":           {"status": "", "name": "", "classname": "", "file": "", "recentFailures": "RecentFailures"},
	"RecentFailures":     {"count": "", "baseBranch": ""},
}

// selection is a field that a query selects.
type selection struct {
	name   string
	args   map[string]string // variables without $, or literals
	fields []selection
}

// graphQL answers a query (GraphqlController). What is wrong with the query, and what the
// token may not read, is an error or null in an answer with status 200.
func (c *call) graphQL() {
	if !slices.Contains([]string{c.r.Header.Get("Private-Token"), strings.TrimPrefix(c.r.Header.Get("Authorization"), "Bearer ")}, c.s.o.Token) || c.s.token.Revoked {
		c.queryError(http.StatusUnauthorized, "Invalid token")
		return
	}
	if scopes := c.s.token.scopes(); c.s.token.Grants == nil && !slices.Contains(scopes, "api") && !slices.Contains(scopes, "read_api") {
		c.tokenMay() // answers
		return
	}
	var request struct {
		Query     string
		Variables map[string]any
	}
	if err := json.NewDecoder(c.r.Body).Decode(&request); err != nil {
		c.queryError(http.StatusUnprocessableEntity, "Unexpected end of document")
		return
	}
	fields, err := parseQuery(request.Query)
	if err == nil {
		err = checkFields("Query", fields)
	}
	if err != nil {
		c.queryError(http.StatusOK, err.Error())
		return
	}
	writeJSON(c.w, http.StatusOK, object{"data": selected(fields, object{"project": c.queriedProject(fields[0], request.Variables)})})
}

func (c *call) queryError(status int, message string) {
	writeJSON(c.w, status, object{"errors": []object{{"message": message}}})
}

// queriedProject is the project of a query, with the job in it; nil: there is none that the
// token may read.
func (c *call) queriedProject(s selection, variables map[string]any) any {
	path, _ := variables[s.args["fullPath"]].(string)
	for _, p := range c.s.projects {
		if strings.EqualFold(p.Path, path) && p.Role != NoAccess {
			c.project = p
			return object{"job": c.queriedJob(s.fields[0], variables)}
		}
	}
	return nil
}

func (c *call) queriedJob(s selection, variables map[string]any) any {
	gid, _ := variables[s.args["id"]].(string)
	id, _ := strconv.ParseInt(strings.TrimPrefix(gid, "gid://gitlab/Ci::Build/"), 10, 64)
	j := c.s.jobs[id]
	if j == nil || j.pipeline.project != c.project || !c.grants("GET /projects/{project}/jobs/{job}") {
		return nil
	}
	if !c.grants("GET /projects/{project}/pipelines/{pipeline}") {
		return object{"pipeline": nil}
	}
	return object{"pipeline": object{"testSuite": c.queriedSuite(s.fields[0].fields[0], variables, j.pipeline)}}
}

// grants reports whether a fine-grained token has the permission of a call; other tokens
// need none.
func (c *call) grants(pattern string) bool {
	p := permissions[pattern]
	return c.s.token.Grants == nil || slices.ContainsFunc(c.s.token.Grants, func(g Grant) bool { return slices.Contains(g.Permissions, p.name) && c.within(g, p.boundary) })
}

// queriedSuite is the sum of the JUnit reports of a pipeline's latest jobs
// (Resolvers::Ci::TestSuiteResolver). A fine-grained token gets null: TestSuite is among
// the types that no permission covers
// (doc/auth/tokens/fine_grained_access_tokens_graphql.md).
func (c *call) queriedSuite(s selection, variables map[string]any, p *pipeline) any {
	ids, _ := variables[s.args["buildIds"]].([]any)
	var tests []TestCase
	var broken any
	found := false
	for _, j := range p.latest() {
		if !slices.Contains(ids, any(strconv.FormatInt(j.ID, 10))) {
			continue
		}
		found = true
		for _, t := range j.Tests {
			t.suite = j.suiteName()
			tests = append(tests, t)
		}
		if j.TestsError != "" {
			broken = j.TestsError
		}
	}
	if broken != nil {
		tests = nil
	}
	if !found || c.s.token.Grants != nil {
		return nil
	}
	order := []string{"error", "failed", "success", "skipped"}
	slices.SortStableFunc(tests, func(a, b TestCase) int { return slices.Index(order, a.Status) - slices.Index(order, b.Status) })
	suite := object{"name": "test", "totalCount": len(tests), "suiteError": broken}
	for _, status := range order {
		n := 0
		for _, t := range tests {
			if t.Status == status {
				n++
			}
		}
		suite[status+"Count"] = n
	}
	for _, of := range s.fields {
		if of.name == "testCases" {
			suite["testCases"] = c.testCases(of, variables, tests)
		}
	}
	return suite
}

// testCases is a page of tests: 100 at most.
func (c *call) testCases(s selection, variables map[string]any, tests []TestCase) object {
	size, from := 100, 0
	if first, err := strconv.Atoi(s.args["first"]); err == nil {
		size = min(first, size)
	}
	if after, ok := variables[s.args["after"]].(string); ok {
		from, _ = strconv.Atoi(strings.TrimPrefix(after, "after-"))
	}
	to := min(from+size, len(tests))
	return object{
		"nodes": each(tests[from:to], func(t TestCase) object {
			o := object{"status": t.Status, "name": t.Name, "classname": t.Classname, "file": orNull(t.File), "recentFailures": nil}
			if n := c.recentFailures(t); t.Status == "failed" && n > 0 {
				o["recentFailures"] = object{"count": n, "baseBranch": c.project.DefaultBranch}
			}
			return o
		}),
		"pageInfo": object{"hasNextPage": to < len(tests), "endCursor": "after-" + strconv.Itoa(to)},
	}
}

// recentFailures counts the pipelines of the default branch in which a test failed in the
// last 14 days, but those in which more than 200 tests did
// (Ci::TestFailureHistoryService, Ci::UnitTestFailure).
func (c *call) recentFailures(t TestCase) int {
	n := 0
	for _, p := range c.project.pipelines {
		if p.Ref != c.project.DefaultBranch || !p.complete() {
			continue
		}
		failed, same := 0, false
		for _, j := range p.latest() {
			for _, other := range j.Tests {
				if other.Status == "failed" {
					failed++
					same = same || other.Name == t.Name && other.Classname == t.Classname && j.suiteName() == t.suite && c.s.o.Now().AddDate(0, 0, -14).Before(j.FinishedAt)
				}
			}
		}
		if same && failed <= 200 {
			n++
		}
	}
	return n
}

var parallel = regexp.MustCompile(` \d+/\d+$`)

// suiteName names the suite of a job's report: the jobs of `parallel` have one.
func (j *job) suiteName() string { return parallel.ReplaceAllString(j.Name, "") }

// selected returns what a query selects of an object.
func selected(fields []selection, from any) any {
	switch from := from.(type) {
	case object:
		all := object{}
		for _, f := range fields {
			all[f.name] = selected(f.fields, from[f.name])
		}
		return all
	case []object:
		return each(from, func(o object) any { return selected(fields, o) })
	}
	return from
}

// checkFields returns GitLab's error for fields that a type does not have.
func checkFields(kind string, fields []selection) error {
	for _, f := range fields {
		of, ok := graphQLTypes[kind][f.name]
		switch {
		case !ok:
			return fmt.Errorf("Field '%s' doesn't exist on type '%s'", f.name, kind) //nolint:staticcheck // GitLab's words
		case (of == "") != (len(f.fields) == 0):
			return fmt.Errorf("Field '%s' has wrong selections", f.name) //nolint:staticcheck // GitLab's words
		}
		if err := checkFields(of, f.fields); err != nil {
			return err
		}
	}
	return nil
}

var queryTokens = regexp.MustCompile(`[{}():]|\$?\w+`)

// parseQuery parses a query with variables, without fragments, aliases and directives.
func parseQuery(text string) ([]selection, error) {
	open := strings.Index(text, "{")
	if !strings.HasPrefix(strings.TrimSpace(text), "query") || open < 0 {
		return nil, fmt.Errorf("Parse error on %.20q", text) //nolint:staticcheck // GitLab's words
	}
	tokens := queryTokens.FindAllString(text[open:], -1)
	fields, rest, err := parseFields(tokens[1:])
	if err == nil && (len(rest) > 0 || len(fields) != 1) {
		err = fmt.Errorf("Parse error on %.20q", text) //nolint:staticcheck // GitLab's words
	}
	return fields, err
}

// parseFields parses the fields up to the brace that closes them.
func parseFields(tokens []string) (fields []selection, rest []string, err error) {
	for len(tokens) > 0 && tokens[0] != "}" {
		f := selection{name: tokens[0], args: map[string]string{}}
		tokens = tokens[1:]
		if len(tokens) > 0 && tokens[0] == "(" {
			end := slices.Index(tokens, ")")
			for i := 1; i+2 < end+1; i += 3 { // name : value
				f.args[tokens[i]] = strings.TrimPrefix(tokens[i+2], "$")
			}
			tokens = tokens[end+1:]
		}
		if len(tokens) > 0 && tokens[0] == "{" {
			if f.fields, tokens, err = parseFields(tokens[1:]); err != nil {
				return nil, nil, err
			}
		}
		fields = append(fields, f)
	}
	if len(tokens) == 0 {
		return nil, nil, fmt.Errorf("Unexpected end of document") //nolint:staticcheck,perfsprint // GitLab's words
	}
	return fields, tokens[1:], nil
}
