package joblog_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/joblog"
)

func TestEnding(t *testing.T) {
	for _, c := range []struct {
		name, log string
		want      []string
	}{
		{"nothing", "", nil},
		{"no command", "Pulling\nfailed\n", []string{"Pulling\nfailed\n"}},
		{"the runner fails", "Pulling\nERROR: Job failed (system failure): x\n", []string{"Pulling\n", "ERROR: Job failed (system failure): x\n"}},
		{"the last command", "Fetching\n$ npm ci\nretried\n$ npm test\nbad\nERROR: Job failed: exit code 1\n", []string{"$ npm test\nbad\n", "ERROR: Job failed: exit code 1\n"}},
		{"no newline at the end", "$ a\nx\n$ b\nbad", []string{"$ b\nbad"}},
		{"without after_script", "$ a\nbad\nRunning after_script\n$ b\nother\nUploading artifacts for failed job\nFATAL: x\n", []string{"$ a\nbad\n", "Uploading artifacts for failed job\nFATAL: x\n"}},
		{"nothing behind after_script", "$ a\nbad\nRunning after_script\n$ b\nother\nERROR: Job failed: exit code 1\n", []string{"$ a\nbad\n", "ERROR: Job failed: exit code 1\n"}},
		{"artifacts before after_script", "$ a\nbad\nUploading artifacts for failed job\nx\nRunning after_script\n$ b\nCleaning up project directory\ny\n", []string{"$ a\nbad\n", "Uploading artifacts for failed job\nx\n", "Cleaning up project directory\ny\n"}},
		{"only after_script", "Running after_script\n$ b\nother\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, joblog.Ending(c.log)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
