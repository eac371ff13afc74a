package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	format  = "pipesteward history"
	version = 2 // of what the files have: one of another version is read anew
	suffix  = ".jsonl"

	partPrefix = "part-"   // of the names of files that are being written
	partAge    = time.Hour // after which nobody writes them any more
)

// header is the first line of a file.
type header struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Instance string    `json:"instance"`
	Project  int64     `json:"project"`
	ReadAt   time.Time `json:"read_at"`

	// Of a page: it has all jobs with ids from Last up to, and without, Before.
	Before int64     `json:"before,omitzero"`
	Last   int64     `json:"last,omitzero"`
	Oldest time.Time `json:"oldest,omitzero"` // when the job with the id Last was created
	Next   string    `json:"next,omitzero"`   // GitLab's cursor of the page after this one; "": there is none
	Jobs   int       `json:"jobs,omitzero"`
	// Until is when it is read again, since jobs or pipelines of it had not ended; zero: never.
	Until time.Time `json:"until,omitzero"`

	// Of a log:
	Job    int64 `json:"job,omitzero"`
	Window int64 `json:"window,omitzero"` // how many bytes of its end were wanted
	Bytes  int   `json:"bytes,omitzero"`  // that follow this line
}

// page is a page of a project's jobs.
type page struct {
	header
	Pipelines []*Pipeline // in the order of their first job in the list
}

func newPage(instance string, project int64, now time.Time, after int64, jobs []gitlab.Job, next string) *page {
	p := &page{header: header{Format: format, Version: version, Instance: instance, Project: project, ReadAt: now, Before: after, Last: after, Next: next, Jobs: len(jobs)}}
	byID := map[int64]*Pipeline{}
	for i, job := range jobs {
		if i == 0 {
			p.Before = max(after, job.ID+1)
		}
		p.Last, p.Oldest = job.ID, job.CreatedAt
		if until := changesBy(job, now); !until.IsZero() && (p.Until.IsZero() || until.Before(p.Until)) {
			p.Until = until
		}
		of := byID[job.Pipeline.ID]
		if of == nil {
			of = &Pipeline{Pipeline: job.Pipeline, Commit: job.Commit}
			byID[job.Pipeline.ID], p.Pipelines = of, append(p.Pipelines, of)
		}
		of.Runs = append(of.Runs, Run{Details: job.Details, User: job.User})
	}
	return p
}

// changesBy returns when a job is read again that was read now; zero if it and its pipeline
// have ended: when a job of that is retried, the page of the new run tells. A skipped job has
// not ended: it runs after all, under the same id, if one before it is retried.
func changesBy(job gitlab.Job, now time.Time) time.Time {
	switch {
	case slices.Contains([]string{"success", "failed", "canceled"}, job.Status) && event.Ended(job.Pipeline.Status):
		return time.Time{}
	case job.CreatedAt.Before(now.Add(-youngFor)):
		return now.Add(freshFor)
	}
	return now.Add(youngFreshFor)
}

// files are the files of a project's jobs.
type files struct {
	dir   string
	pages []header // of the pages that need not be read again
	read  func(h header) (*page, error)
}

// dirOf returns the directory of a project's files.
func (r Reader) dirOf(project int64) (string, error) {
	u, err := url.Parse(r.GitLab.Instance())
	if err != nil {
		return "", err
	}
	instance := strings.NewReplacer(":", "_", "/", "_").Replace(u.Host + u.Path)
	dir := filepath.Join(r.Dir, instance, strconv.FormatInt(project, 10))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", cacheError("can't be written", err)
	}
	return dir, nil
}

// CacheError says that the files can't be read or written, so that no project's can.
type CacheError struct{ err error }

func cacheError(what string, err error) error {
	return &CacheError{fmt.Errorf("the cache %s: %w", what, err)}
}

func (e *CacheError) Error() string { return e.err.Error() }

func (e *CacheError) Unwrap() error { return e.err }

// checkFiles returns an error if directories have the names of files.
func checkFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return cacheError("can't be read", err)
	}
	wrong := slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() || !strings.HasSuffix(e.Name(), suffix) })
	if len(wrong) == 0 {
		return nil
	}
	return cacheError("can't be used", fmt.Errorf("in %s, %s in the place of %s, such as %s: remove what is no file, or choose another cache",
		dir, english.Plural(len(wrong), "directory is", "directories are"), english.PluralWord(len(wrong), "a file", "files"), wrong[0].Name()))
}

// open finds the pages of a project. Those that may have changed, or can't be used, are
// removed: they are read anew.
func (r Reader) open(project int64) (*files, error) {
	dir, err := r.dirOf(project)
	if err != nil {
		return nil, err
	}
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	if err := r.removeParts(dir); err != nil {
		return nil, cacheError("can't be written", err)
	}
	f := &files{dir: dir, read: func(h header) (*page, error) { return r.readPage(dir, h) }}
	names, err := filepath.Glob(filepath.Join(dir, "jobs-*"+suffix))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		h, err := readHeader(name)
		if err == nil {
			err = h.usable(r.GitLab.Instance(), project)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // another process has removed it
		case err != nil:
			r.Unusable(name, err)
		case h.Until.IsZero() || r.Now().Before(h.Until):
			f.pages = append(f.pages, h)
			continue
		}
		if err := remove(name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// remove removes a file that can't be used; another process may have done so.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cacheError("can't be written", err)
	}
	return nil
}

// removeParts removes files that a process did not live to write as a whole.
func (r Reader) removeParts(dir string) error {
	parts, err := filepath.Glob(filepath.Join(dir, partPrefix+"*"))
	for _, name := range parts {
		info, statErr := os.Stat(name)
		if statErr != nil || r.Now().Sub(info.ModTime()) < partAge {
			continue // it was removed or renamed, or another process writes it
		}
		if gone := os.Remove(name); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// usable returns an error that says why a file can't be used.
func (h header) usable(instance string, project int64) error {
	switch {
	case h.Format != format:
		return errDamaged
	case h.Version != version:
		return fmt.Errorf("is of another version of Pipesteward (its format is %d, this one's is %d)", h.Version, version)
	case h.Instance != instance || h.Project != project:
		return fmt.Errorf("is about project %d of %s", h.Project, h.Instance)
	}
	return nil
}

var errDamaged = errors.New("is damaged")

// unreadable returns the error for a file that the system does not let this process read.
func unreadable(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		err = of.Err // without the name
	}
	return fmt.Errorf("can't be read (%w)", err)
}

// covering returns the page with the jobs that come after the one with an id; nil: no file
// has them.
func (f *files) covering(after int64) (*page, error) {
	if after == 0 { // there may be new jobs
		return nil, nil
	}
	for i, h := range f.pages {
		if h.Last >= after || after > h.Before {
			continue
		}
		p, err := f.read(h)
		if p == nil && err == nil {
			f.pages = slices.Delete(f.pages, i, i+1)
			return f.covering(after)
		}
		return p, err
	}
	return nil, nil
}

func pageName(h header) string { return fmt.Sprintf("jobs-%d-%d%s", h.Before, h.Last, suffix) }

// readPage reads the file of a page; nil if that can't be used.
func (r Reader) readPage(dir string, h header) (*page, error) {
	name := filepath.Join(dir, pageName(h))
	body, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p := &page{header: h}
	unusable := errDamaged
	if err != nil {
		unusable = unreadable(err)
	}
	_, lines, _ := bytes.Cut(body, []byte("\n"))
	jobs := 0
	for line := range bytes.Lines(lines) {
		of := &Pipeline{}
		if err = json.Unmarshal(line, of); err != nil {
			break
		}
		jobs += len(of.Runs)
		p.Pipelines = append(p.Pipelines, of)
	}
	if err != nil || jobs != h.Jobs {
		r.Unusable(name, unusable)
		return nil, remove(name)
	}
	return p, nil
}

// write keeps a page, unless it is empty.
func (f *files) write(p *page) error {
	if p.Jobs == 0 {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, line := range slices.Concat([]any{p.header}, anys(p.Pipelines)) {
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(f.dir, pageName(p.header)), b.Bytes())
}

func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, item := range list {
		all[i] = item
	}
	return all
}

// readHeader reads the first line of a file.
func readHeader(name string) (h header, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	if err != nil {
		return h, unreadable(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return h, unreadable(err)
	}
	if json.Unmarshal(line, &h) != nil {
		return h, errDamaged
	}
	return h, nil
}

// writeFile writes a file that only its owner may read. Other processes see all of it or
// nothing.
func writeFile(name string, body []byte) (err error) {
	defer func() {
		if err != nil {
			err = cacheError("can't be written", err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(name), partPrefix+"*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
