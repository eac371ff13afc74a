// Package watch reports changes of files, whatever symlinks lead to them and wherever these
// lead next. It watches directories, not files, because files are mostly replaced: by editors
// with a rename, by Kubernetes and git-sync with a symlink that is renamed.
package watch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// Watch reports changes in the directories that lead to files. Its channels are never
// closed before Close.
type Watch struct {
	Reported <-chan fsnotify.Event // what has changed
	Missed   <-chan error          // changes may have been missed

	paths   []string
	watcher *fsnotify.Watcher // nil: the system has none
	failed  map[string]bool   // directories that can't be watched, as was returned
}

// New returns a Watch of files or directories. After an error, it reports no change of those
// that the error is about: read them at intervals.
func New(paths ...string) (*Watch, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return &Watch{}, err
	}
	w := &Watch{Reported: watcher.Events, Missed: watcher.Errors, paths: paths, watcher: watcher, failed: map[string]bool{}}
	return w, w.Renew()
}

// Renew watches the directories to which the paths lead now: call it after each change, and
// before the files are read. A symlink on the way may lead elsewhere, or a directory may have
// been replaced. The error is about directories that can't be watched, for the first time.
func (w *Watch) Renew() error {
	if w.watcher == nil {
		return nil
	}
	wanted := map[string]bool{}
	for _, path := range w.paths {
		for _, directory := range leadingTo(path) {
			wanted[directory] = true
		}
	}
	watched := w.watcher.WatchList()
	for _, directory := range watched {
		if !wanted[directory] {
			_ = w.watcher.Remove(directory) // which may be gone
		}
	}
	var errs []error
	for directory := range wanted {
		if slices.Contains(watched, directory) {
			continue
		}
		err := w.watcher.Add(directory)
		if err != nil && !w.failed[directory] {
			errs = append(errs, err)
		}
		w.failed[directory] = err != nil
	}
	return errors.Join(errs...)
}

// Close ends the watch.
func (w *Watch) Close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
	}
}

// leadingTo returns the directories in which a change can give the path another content:
// the directory of the file, or the one that the path names, and those of all symlinks on
// the way there.
func leadingTo(path string) (directories []string) {
	const maxLinks = 40 // as many as Linux follows
	split := func(path string) (root string, parts []string) {
		root = filepath.VolumeName(path) + string(filepath.Separator)
		return root, strings.FieldsFunc(strings.TrimPrefix(path, filepath.VolumeName(path)), func(r rune) bool { return os.IsPathSeparator(uint8(r)) })
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	at, rest := split(path)
	for len(rest) > 0 && len(directories) < maxLinks {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(next)
		if err != nil { // no symlink
			at = next
			continue
		}
		directories = append(directories, at)
		root, parts := split(target)
		if filepath.IsAbs(target) {
			at = root
		}
		rest = slices.Concat(parts, rest)
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() {
		at = filepath.Dir(at)
	}
	return append(directories, at)
}
