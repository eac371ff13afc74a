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
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// The names of the files of logs begin with these: of jobs that failed, and of those that
// passed.
const (
	logPrefix     = "log-"
	passingPrefix = "passing-"
)

// Log returns the end of the log of a job that failed and ended at a time, cleaned and with
// secrets masked as in excerpts; "" if the job has none, or none any more, which is kept only
// if it ended long ago. It may be called by several goroutines.
func (r Reader) Log(ctx context.Context, project, job int64, ended time.Time) (string, error) {
	return r.log(ctx, logPrefix, project, job, ended)
}

// PassingLog is Log for a job that passed. Passing finds it again.
func (r Reader) PassingLog(ctx context.Context, project, job int64, ended time.Time) (string, error) {
	return r.log(ctx, passingPrefix, project, job, ended)
}

func (r Reader) log(ctx context.Context, prefix string, project, job int64, ended time.Time) (string, error) {
	dir, err := r.dirOf(project)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, fmt.Sprintf("%s%d%s", prefix, job, suffix))
	text, found := r.readLog(name, project, job)
	if found {
		return text, nil
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

// Passing are the logs of jobs that passed which a cache has. Each is the end of a log.
type Passing struct {
	Dir string // the directory of the cache
	URL string // of a page of GitLab: only the logs of jobs there count
}

// Each calls visit with the file and the text of each log, until visit returns an error, which
// it returns. Files that can't be used are left out.
func (p Passing) Each(visit func(name, log string) error) error {
	names, err := filepath.Glob(filepath.Join(p.Dir, "*", "*", passingPrefix+"*"+suffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process has removed it
		}
		if err != nil {
			return fmt.Errorf("the cache can't be read: %w", err)
		}
		first, text, _ := bytes.Cut(body, []byte("\n"))
		var h header
		if json.Unmarshal(first, &h) != nil || h.Bytes != len(text) || h.usable(h.Instance, h.Project) != nil || !strings.HasPrefix(p.URL, h.Instance+"/") || len(text) == 0 {
			continue
		}
		if err := visit(name, string(text)); err != nil {
			return err
		}
	}
	return nil
}

// readLog reads the file of a log, if there is one that can be used.
func (r Reader) readLog(name string, project, job int64) (text string, found bool) {
	body, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	first, rest, _ := bytes.Cut(body, []byte("\n"))
	var h header
	unusable := errDamaged
	if err != nil {
		unusable = unreadable(err)
	}
	if json.Unmarshal(first, &h) == nil && h.Job == job && h.Bytes == len(rest) {
		unusable = h.usable(r.GitLab.Instance(), project)
	}
	if unusable != nil {
		r.Unusable(name, unusable)
		return "", false
	}
	return string(rest), h.Window == r.Window
}
