package main

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
	// settleFor is how long files must be left alone before they are read: a change
	// is often several.
	settleFor = 100 * time.Millisecond
	// lookEvery is how often files are read in case that nobody told of a change,
	// as on network file systems.
	lookEvery = 30 * time.Second
)

// follower reads files again when they change.
type follower struct {
	what   string // names the files in logs: "rule files"
	paths  []string
	reload func(anyway bool) // reads them; anyway: also what looks unchanged
	log    *slog.Logger
}

// run calls reload when the files change or may have changed, and anyway on
// SIGHUP, until ctx ends.
func (f *follower) run(ctx context.Context) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	changes, problems, stop := f.watch()
	defer stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	settled := time.NewTimer(settleFor) // the files may have changed since they were loaded
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			settled.Reset(settleFor)
		case err := <-problems:
			f.log.Warn("changes of "+f.what+" may have been missed", "error", err)
			settled.Reset(settleFor)
		case <-settled.C:
			f.reload(false)
		case <-look.C:
			f.reload(false)
		case <-hangUp:
			f.reload(true)
		}
	}
}

// watch tells of changes in the directories that the files are in. It watches
// directories, not files, because files are mostly replaced: by editors with a
// rename, by Kubernetes with a symlink that all others go through. Where nothing
// can be watched, lookEvery has to do.
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
		f.seenLate(err)
		return nil, nil, func() {}
	}
	for _, directory := range slices.Compact(directories) {
		if err := watcher.Add(directory); err != nil {
			f.seenLate(err)
		}
	}
	return watcher.Events, watcher.Errors, func() { _ = watcher.Close() }
}

func (f *follower) seenLate(why error) {
	f.log.Warn("changes of "+f.what+" are seen late", "after", lookEvery.String(), "error", why)
}
