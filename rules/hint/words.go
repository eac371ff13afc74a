package hint

import (
	"fmt"
	"slices"
	"strings"
)

// constants maps the constants of other languages to what is written here.
var constants = map[string]string{
	"null": noNull, "NULL": noNull, "Null": noNull, "None": noNull, "undefined": noNull, "Nil": noNull,
	"True": "write true", "TRUE": "write true", "False": "write false", "FALSE": "write false",
	"AND": "write and", "And": "write and", "OR": "write or", "Or": "write or", "NOT": "write not", "Not": "write not",
	"IN": "write in", "In": "write in", "LIKE": writeGlob, "like": writeGlob, "ilike": writeGlob,
	"is": writeEqual, "IS": writeEqual, "eq": writeEqual, "equals": writeEqual,
	"then":   "an expression has no then: write only the condition, or condition ? value : another",
	"for":    "there are no comprehensions: write any(jobs(), .status == \"failed\"), or filter() and map()",
	"unless": "write not (…)",
	"lambda": "a predicate has no parameter: write .field for a field of the element",
}

const (
	noNull     = "no value is ever missing: compare with the zero value, which is \"\" for a text, 0 for a number, false, or an empty list"
	writeEqual = "write == to compare, or != for its opposite"
	writeGlob  = "write glob(text, \"pattern*\"), or text matches \"a regular expression\""
)

// Missing is the hint about a comparison with nil.
const Missing = noNull

// called maps the functions of other languages to what is written here, with the
// value in the place of %s.
var called = map[string]string{
	"toLower": "lower(%s)", "toLowerCase": "lower(%s)", "lower": "lower(%s)", "downcase": "lower(%s)", "casefold": "lower(%s)", "ascii_downcase": "lower(%s)",
	"toUpper": "upper(%s)", "toUpperCase": "upper(%s)", "upper": "upper(%s)", "upcase": "upper(%s)", "ascii_upcase": "upper(%s)",
	"lower_case": "lower(%s)", "upper_case": "upper(%s)", "length": "len(%s)", "size": "len(%s)", "len": "len(%s)", "strip": "trim(%s)", "trim": "trim(%s)", "keys": "keys(%s)",
	"isEmpty": "len(%s) == 0", "empty": "len(%s) == 0", "is_empty": "len(%s) == 0",
}

// existence are the functions of other languages that tell whether there is a
// value.
var existence = []string{"exists", "defined", "is_defined", "isset", "has", "present"}

// withArgument maps the methods and functions of other languages with one more
// argument to what is written here, with value and argument in the places of %s.
var withArgument = map[string]string{
	"startsWith": "%s startsWith %s", "startswith": "%s startsWith %s", "starts_with": "%s startsWith %s", "start_with": "%s startsWith %s", "hasPrefix": "%s startsWith %s", "HasPrefix": "%s startsWith %s",
	"endsWith": "%s endsWith %s", "endswith": "%s endsWith %s", "ends_with": "%s endsWith %s", "hasSuffix": "%s endsWith %s", "HasSuffix": "%s endsWith %s",
	"contains": "%s contains %s", "includes": "%s contains %s", "include": "%s contains %s", "indexOf": "%s contains %s", "search": "%s matches %s",
	"match": "%s matches %s", "matches": "%s matches %s", "test": "%s matches %s", "regex": "%s matches %s", "regexMatch": "%s matches %s", "fullmatch": "%s matches %s", "re_match": "%s matches %s",
	"equals": "%s == %s", "eq": "%s == %s", "ne": "%s != %s", "split": "split(%s, %s)", "replace": "replace(%s, %s)", "join": "join(%s, %s)",
	"some": "any(%s, %s)", "any": "any(%s, %s)", "every": "all(%s, %s)", "all": "all(%s, %s)", "filter": "filter(%s, %s)", "select": "filter(%s, %s)",
	"map": "map(%s, %s)", "collect": "map(%s, %s)", "find": "find(%s, %s)", "count": "count(%s, %s)", "fnmatch": "glob(%s, %s)", "glob": "glob(%s, %s)",
	"coalesce": "%s ?? %s", "default": "%s ?? %s",
}

// lists are the fields that hold lists of texts, in which `in` searches.
var lists = []string{"tags", "tag_list", "stages", "labels", "approved_by"}

// statusFunctions maps the functions of GitHub Actions to conditions.
var statusFunctions = map[string]string{
	"failure": `job.status == "failed"`, "failed": `job.status == "failed"`, "success": `job.status == "success"`,
	"cancelled": `job.status == "canceled"`, "canceled": `job.status == "canceled"`, "always": "true, or leave `if` out",
}

// contexts maps the beginnings of other tools' values to what is written here.
var contexts = map[string]string{
	"github": "write job, pipeline or project", "gitlab": "write job, pipeline or project",
	"env": `write pipeline.variables["NAME"] for a variable that the pipeline was started with`, "vars": `write pipeline.variables["NAME"] for a variable that the pipeline was started with`,
	"secrets": "expressions can't read secrets", "runner": "write job.runner", "steps": "write jobs()", "needs": "write jobs()",
	"build": "write job", "ctx": "write job, pipeline or project", "payload": "write job, pipeline or project", "object_attributes": "write pipeline",
	"mr": "write merge_request", "environment": "write job.environment", "variables": "write pipeline.variables", "trace": "write log()",
	"branch": "write pipeline.ref", "ref": "write pipeline.ref", "sha": "write pipeline.sha", "tag": "write pipeline.tag", "source": "write pipeline.source",
	"status": "write job.status or pipeline.status", "stage": "write job.stage", "attempt": "write job.attempt", "failure_reason": "write job.failure_reason",
	"name": "write job.name", "builds": "write pipeline.jobs, or jobs() on a job event", "regexp": "write text matches \"pattern\"",
	"re": "write text matches \"pattern\"",
}

// variables maps GitLab's CI/CD variables to the values of events.
var variables = map[string]string{
	"CI_COMMIT_BRANCH": "pipeline.ref", "CI_COMMIT_REF_NAME": "pipeline.ref", "CI_COMMIT_REF_SLUG": "pipeline.ref", "CI_BUILD_REF_NAME": "pipeline.ref",
	"CI_COMMIT_TAG": "pipeline.tag (whether it is a tag) and pipeline.ref (which)", "CI_COMMIT_SHA": "pipeline.sha", "CI_COMMIT_SHORT_SHA": "pipeline.sha",
	"CI_COMMIT_MESSAGE": "commit.message", "CI_COMMIT_TITLE": "commit.title", "CI_COMMIT_AUTHOR": "commit.author_name", "CI_COMMIT_REF_PROTECTED": "pipeline.protected_ref",
	"CI_DEFAULT_BRANCH": "project.default_branch", "CI_PIPELINE_SOURCE": "pipeline.source", "CI_PIPELINE_ID": "pipeline.id", "CI_PIPELINE_URL": "pipeline.url", "CI_PIPELINE_IID": "pipeline.iid", "CI_PIPELINE_NAME": "pipeline.name",
	"CI_JOB_NAME": "job.name", "CI_JOB_STAGE": "job.stage", "CI_JOB_STATUS": "job.status", "CI_JOB_ID": "job.id", "CI_JOB_URL": "job.url", "CI_JOB_MANUAL": "job.manual",
	"CI_ENVIRONMENT_NAME": "job.environment.name", "CI_ENVIRONMENT_TIER": "job.environment.tier",
	"CI_PROJECT_PATH": "project.path", "CI_PROJECT_NAME": "project.name", "CI_PROJECT_ID": "project.id", "CI_PROJECT_NAMESPACE": "project.namespace", "CI_PROJECT_URL": "project.url",
	"CI_RUNNER_DESCRIPTION": "job.runner.description", "CI_RUNNER_ID": "job.runner.id", "CI_RUNNER_TAGS": "job.runner.tags",
	"CI_MERGE_REQUEST_IID": "merge_request.iid", "CI_MERGE_REQUEST_TITLE": "merge_request.title", "CI_MERGE_REQUEST_LABELS": "merge_request_details().labels",
	"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "merge_request.source_branch", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "merge_request.target_branch", "CI_MERGE_REQUEST_DRAFT": "merge_request_details().draft",
	"GITLAB_USER_LOGIN": "user.username", "GITLAB_USER_NAME": "user.name", "GITLAB_USER_EMAIL": "user.email",
}

// Block returns the hint about what stands between {{ and }} if it is a block of a
// template language, as in {{ if x }} and {{ end }}; "" if it is not.
func Block(source string) string {
	t := newText(source)
	if t.is(0, "if", "range", "with", "for", "elif", "endif", "endfor", "unless") && !t.is(len(t.all)-1, "}") || len(t.all) == 1 && t.is(0, "else", "end") {
		return "a text has no blocks: write a value, like {{ job.tag ? \"a tag\" : \"a branch\" }}"
	}
	return ""
}

func (t text) word(i int) string {
	name := t.all[i].text
	isField := t.is(i-1, ".", "?.")
	switch {
	case isField && t.is(i+1, "("):
		return t.method(i)
	case isField && (name == "length" || name == "size" && !t.isOperand(i+1) && t.is(i-2, ")", "]")):
		return "a value has no ." + name + ": write len(" + t.between(t.operandBefore(i-2), i-2) + ")"
	case isField:
		return ""
	case strings.HasPrefix(name, "$"), strings.HasPrefix(name, "CI_"), strings.HasPrefix(name, "GITLAB_"):
		return ciVariable(strings.TrimPrefix(name, "$"))
	case constants[name] != "" && !t.is(i+1, "("):
		if known := strings.TrimPrefix(constants[name], "write "); constants[name] != known && len(known) < 6 {
			return fmt.Sprintf("%s is not known here: write %s", name, known)
		}
		return constants[name]
	case t.is(i+1, "("):
		return t.call(i)
	case contexts[name] != "" && !t.compared(i):
		return name + " is not known here: " + contexts[name]
	}
	return ""
}

// Variable returns the value of events that a CI/CD variable of GitLab's has; "" for
// any other variable.
func Variable(name string) string {
	value, _, _ := strings.Cut(variables[name], " ")
	return value
}

func ciVariable(name string) string {
	switch value := variables[name]; {
	case name == "" || name == "env":
		return ""
	case value != "":
		return fmt.Sprintf("a CI/CD variable is not known here: write %s for %s", value, name)
	}
	return fmt.Sprintf("a CI/CD variable is not known here: write pipeline.variables[%q] for a variable that the pipeline was started with", name)
}

// method is the hint for a call of a method: no value has any.
func (t text) method(i int) string {
	name := t.all[i].text
	if !t.isOperand(i - 2) {
		return ""
	}
	from := t.operandBefore(i - 2)
	value, arguments := t.between(from, i-2), t.arguments(i+1)
	last := value[strings.LastIndex(value, ".")+1:]
	asPart := slices.Contains([]string{"log", "trace", "jobs", "bridges", "details"}, name)
	switch {
	case asPart && name == "trace":
		return "write log()"
	case asPart:
		return "write " + name + "()"
	case withArgument[name] == "%s contains %s" && slices.Contains(lists, last) && len(arguments) > 0:
		return fmt.Sprintf("a value has no methods: write %s in %s", arguments[0], value)
	case withArgument[name] != "" && len(arguments) > 0:
		return "a value has no methods: write " + fmt.Sprintf(withArgument[name], value, strings.Join(arguments, ", "))
	case called[name] != "":
		return "a value has no methods: write " + fmt.Sprintf(called[name], value)
	}
	if condition := statusFunctions[name]; condition != "" && slices.Contains(parts, value) {
		return "a value has no methods: write " + strings.Replace(condition, "job", value, 1)
	}
	return fmt.Sprintf("a value has no methods: write an operator or a function in place of .%s(), like contains, or lower(%s)", name, value)
}

// call is the hint for a call of a function that other languages have.
func (t text) call(i int) string {
	name, arguments := t.all[i].text, t.arguments(i+1)
	switch {
	case name == "in", name == "not", name == "and", name == "or", t.isOperand(i - 1):
		return ""
	case statusFunctions[name] != "" && len(arguments) == 0:
		return name + "() is not known here: write " + statusFunctions[name]
	case name == "trace":
		return "trace() is not known here: write log()"
	case slices.Contains(existence, name) && len(arguments) > 0:
		return "no value is ever missing: compare a field of it with the zero value, like job.environment.name != \"\""
	case slices.Contains([]string{"any", "all", "filter", "map", "find", "count", "split", "replace", "join", "glob"}, name):
		return "" // expr's own or Pipesteward's
	case withArgument[name] != "" && len(arguments) == 2:
		write := fmt.Sprintf(withArgument[name], arguments[0], arguments[1])
		if strings.Contains(write, " "+name+" ") {
			return name + " stands between its operands: write " + write
		}
		return name + "() is not known here: write " + write
	case slices.Contains([]string{"lower", "upper", "len", "trim", "keys"}, name):
		return ""
	case called[name] != "" && len(arguments) == 1:
		return name + "() is not known here: write " + fmt.Sprintf(called[name], arguments[0])
	}
	return ""
}

// compared reports whether the word at i stands where a text is expected: beside
// a comparison, or in a list.
func (t text) compared(i int) bool {
	return t.is(i-1, "==", "!=", "contains", "startsWith", "endsWith", "matches", "in") || t.is(i-1, "[", ",") && t.inList(i)
}

// inList reports whether the nearest open bracket before the token is that of a
// list, or of the arguments of failed_with.
func (t text) inList(i int) bool {
	depth := 0
	for j := i - 1; j >= 0; j-- {
		switch {
		case t.is(j, ")", "]", "}"):
			depth++
		case t.is(j, "(", "[", "{"):
			if depth == 0 {
				return t.is(j, "[") && !t.isOperand(j-1) || t.is(j, "(") && t.is(j-1, "failed_with")
			}
			depth--
		}
	}
	return false
}

// Unquoted returns the text that an unknown name is probably meant as, with the
// position of its beginning: the characters around it that belong to a name of a
// job or a ref, as in deploy-staging or release/1.0. It returns "" if the name
// does not stand where a text is expected.
func Unquoted(source string, at int) (text string, from int) {
	t := newText(source)
	i := slices.IndexFunc(t.all, func(token token) bool { return token.at <= at && at < token.end() })
	if i < 0 {
		return "", 0
	}
	from = at
	part := func(r rune) bool { return isPartOfWord(r) || strings.ContainsRune("-/.:", r) }
	for from > 0 && part(t.source[from-1]) {
		from--
	}
	first := slices.IndexFunc(t.all, func(token token) bool { return token.at >= from })
	if isArgument := t.is(first-1, "(", ",") && t.inList(first); !t.compared(first) && !isArgument {
		return "", 0
	}
	return strings.TrimRight(string(t.source[from:while(t.source, at, part)]), ".:"), from
}
