package app

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
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
	changes, problems, stop := f.watch()
	defer stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	settled := time.NewTimer(settleFor) // the files may have changed since they were loaded
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			settled.Reset(settleFor)
		case err := <-problems:
			f.log.Warn("changes of "+f.name+" may have been missed", "error", err)
			settled.Reset(settleFor)
		case <-settled.C:
			f.reload(false)
		case <-poll.C:
			f.reload(false)
		case <-hangUp:
			f.reload(true)
		}
	}
}

// watch reports changes in the directories of the files. It watches directories,
// not files, because files are mostly replaced: by editors with a rename, by
// Kubernetes with a symlink that all others go through. Directories that can't be
// watched are read every pollEvery.
func (f *follower) watch() (changes <-chan fsnotify.Event, problems <-chan error, stop func()) {
	var directories []string
	for _, path := range f.paths {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
		directories = append(directories, path)
	}
	slices.Sort(directories)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		f.warnLate(err)
		return nil, nil, func() {}
	}
	for _, directory := range slices.Compact(directories) {
		if err := watcher.Add(directory); err != nil {
			f.warnLate(err)
		}
	}
	return watcher.Events, watcher.Errors, func() { _ = watcher.Close() }
}

func (f *follower) warnLate(why error) {
	f.log.Warn("changes of "+f.name+" are seen late", "wait", pollEvery.String(), "error", why)
}
