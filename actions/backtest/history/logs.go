package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Log returns the end of a job's log, cleaned and with secrets masked as in excerpts; "" if
// the job has none any more. It may be called by several goroutines.
func (r Reader) Log(ctx context.Context, project, job int64) (string, error) {
	dir, err := r.dirOf(project)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, fmt.Sprintf("log-%d%s", job, suffix))
	text, found, err := r.readLog(name, project, job)
	if found || err != nil {
		return text, err
	}
	var log gitlab.Log
	err = r.try(ctx, func() (err error) {
		log, err = r.GitLab.Log(ctx, project, job)
		return err
	})
	if err != nil {
		return "", err
	}
	text = redact.Secrets(joblog.Clean(log.Text))
	first, err := json.Marshal(header{
		Format: format, Version: version, Instance: r.GitLab.Instance(), Project: project, ReadAt: r.Now().UTC(),
		Job: job, Window: r.Window, Bytes: len(text),
	})
	if err != nil {
		return "", err
	}
	return text, writeFile(name, append(append(first, '\n'), text...))
}

// readLog reads the file of a log, if there is one that can be used.
func (r Reader) readLog(name string, project, job int64) (text string, found bool, err error) {
	body, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("the cache can't be read: %w", err)
	}
	first, rest, _ := bytes.Cut(body, []byte("\n"))
	var h header
	unusable := errDamaged
	if json.Unmarshal(first, &h) == nil && h.Job == job && h.Bytes == len(rest) {
		unusable = h.usable(r.GitLab.Instance(), project)
	}
	if unusable != nil {
		r.Say(fmt.Sprintf("%s %v: it is read anew from GitLab", name, unusable))
		return "", false, nil
	}
	return string(rest), h.Window == r.Window, nil
}
