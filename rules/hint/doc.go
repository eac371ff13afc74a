// Package hint recognizes in a broken expression what its author knows from
// another language (GitLab CI, GitHub Actions, Python, JavaScript, jq, SQL), and
// says what to write instead. It is called only for expressions that do not
// compile, so it costs a valid file nothing, and it can't reject anything.
package hint
