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
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Log returns the end of the log of a job that ended at a time, cleaned and with secrets masked
// as in excerpts; "" if the job has none, or none any more, which is kept only if it ended long
// ago. It may be called by several goroutines.
func (r Reader) Log(ctx context.Context, project, job int64, ended time.Time) (string, error) {
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
	if text == "" && r.Now().Sub(ended) < youngFor {
		return "", nil
	}
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
