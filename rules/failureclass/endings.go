package failureclass

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/joblog"
)

//go:embed endings.yaml
var endings []byte

// endingLines are the lines besides those of classes that matter at the end of a log.
type endingLines struct {
	Passed []string `yaml:"passed"` // a tool says that all went well
	Over   []string `yaml:"over"`   // a tool says what is known already
}

// readEndings reads endings.yaml and compiles its patterns. That can only fail in a program
// that no test has run.
var readEndings = sync.OnceValues(func() (passed, over []*regexp.Regexp) {
	var lines endingLines
	if err := yaml.Load(endings, &lines, yaml.WithKnownFields()); err != nil {
		panic("endings.yaml: " + err.Error())
	}
	compile := func(patterns []string) []*regexp.Regexp {
		all := make([]*regexp.Regexp, len(patterns))
		for i, pattern := range patterns {
			all[i] = regexp.MustCompile(atLineStart(pattern))
		}
		return all
	}
	return compile(lines.Passed), compile(lines.Over)
})

// What the runner prints that tells whether the script, or what came after it, failed the job.
const (
	succeeded = "Job succeeded"
	jobFailed = "ERROR: Job failed"
)

// noScript are beginnings of the runner's last line if the job did not fail by its script.
var noScript = []string{jobFailed + " (system failure)", jobFailed + ": execution took longer than"}

// reasons returns the lines of a log that may say why the job failed: those of
// joblog.Ending without what is known to be something else. The runner tells by "for failed
// job" and "for successful job" whether the script failed before it moved the artifacts and
// the cache: after a failed script that is not the reason, and after one that passed the
// script is not.
func reasons(log string) []string {
	if strings.HasSuffix(strings.TrimSpace(log), "\n"+succeeded) {
		return nil
	}
	var lines []string
	skip := false
	for _, part := range joblog.Ending(log) {
		for line := range strings.Lines(part) {
			line = strings.TrimRight(line, "\r\n")
			starts := func(prefix string) bool { return strings.HasPrefix(line, prefix) }
			switch {
			case starts("Uploading artifacts for failed job"), starts("Saving cache for failed job"):
				skip = true
			case starts("Uploading artifacts for successful job"), starts("Saving cache for successful job"), slices.ContainsFunc(noScript, starts):
				lines, skip = nil, false
			case starts("Cleaning up project directory"), starts(jobFailed):
				skip = false
			}
			if !skip {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
