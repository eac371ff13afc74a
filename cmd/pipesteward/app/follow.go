package app

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleFor is how long files must be unchanged before they are read: one edit is
	// often several changes.
	settleFor = 100 * time.Millisecond
	// pollEvery is how often files are read in case that no change was reported, as
	// on network file systems.
	pollEvery = 30 * time.Second
)

// follower reads files again when they change.
type follower struct {
	name   string // of the files in logs: "rule files"
	paths  []string
	reload func(anyway bool) // reads them; anyway: also if they seem unchanged
	log    *slog.Logger
}

// run calls reload when the files change or may have changed, and with anyway on
// SIGHUP, until ctx is done.
func (f *follower) run(ctx context.Context) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	watch := newWatch(f.name, f.paths, f.log)
	defer watch.close()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	settled := time.NewTimer(settleFor) // the files may have changed since they were loaded
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-watch.changes:
			settled.Reset(settleFor)
		case err := <-watch.problems:
			f.log.Warn("changes of "+f.name+" may have been missed", "error", err)
			settled.Reset(settleFor)
		case <-settled.C:
			watch.renew()
			f.reload(false)
		case <-poll.C:
			watch.renew()
			f.reload(false)
		case <-hangUp:
			f.reload(true)
		}
	}
}

// watch reports changes in the directories that lead to files. It watches directories,
// not files, because files are mostly replaced: by editors with a rename, by Kubernetes
// and git-sync with a symlink that is renamed. What it can't watch is read every pollEvery.
type watch struct {
	name     string // of the files in logs
	paths    []string
	log      *slog.Logger
	watcher  *fsnotify.Watcher // nil: the system has none
	changes  <-chan fsnotify.Event
	problems <-chan error
	late     map[string]bool // directories that can't be watched, which the log says
}

// newWatch returns a watch of the files at the paths.
func newWatch(name string, paths []string, log *slog.Logger) *watch {
	w := &watch{name: name, paths: paths, log: log, late: map[string]bool{}}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.warnLate(err)
		return w
	}
	w.watcher, w.changes, w.problems = watcher, watcher.Events, watcher.Errors
	w.renew()
	return w
}

// renew watches the directories to which the paths lead now. A symlink on the way may
// lead elsewhere since the last change, or a directory may have been replaced.
func (w *watch) renew() {
	if w.watcher == nil {
		return
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
	for directory := range wanted {
		if slices.Contains(watched, directory) {
			continue
		}
		err := w.watcher.Add(directory)
		if err != nil && !w.late[directory] {
			w.warnLate(err)
		}
		w.late[directory] = err != nil
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

func (w *watch) warnLate(why error) {
	w.log.Warn("changes of "+w.name+" are seen late", "wait", pollEvery.String(), "error", why)
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
	}
}
