package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/progress"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/store"
)

// longestBackup bounds a backup of a running server, its transfer included.
const longestBackup = 3 * time.Hour

// toStdout stands for standard output, as the name of a file.
const toStdout = "-"

// backupCommand writes to stdout what is no text.
func backupCommand(stdout *output, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "copy the file that a running server has as its store",
		ArgsUsage: "FILE",
		Description: "Writes a copy of the store, as it is after its last commit, to FILE, while the server goes on. FILE appears when the\n" +
			"copy is on disk and was checked; it can be read by its owner only, because it has what webhooks say. With - as\n" +
			"FILE, the copy goes to standard output, unchecked.\n\n" +
			"To restore it, stop the server and put the copy in the place of its store. What happened since the backup is not\n" +
			"done again: the state of each job is read in GitLab before an action.\n\n" +
			"A Redis has its own backup: with one as the store, the exit status is 2.",
		Flags: append(adminFlags(),
			// It has no variable: that of the service must not choose what is copied.
			&cli.StringFlag{Name: "store", Usage: "copy this file, as bolt:`PATH`, of a server that does not run"},
			&cli.BoolFlag{Name: "force", Usage: "replace FILE if it is there"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 || c.Args().First() == "" {
				return &usageError{errors.New("backup needs one FILE: name the file to write, or - for standard output")}
			}
			err := backUp(ctx, c, c.Args().First(), stdout, stderr)
			if errors.Is(err, admin.ErrNoBackup) {
				return &usageError{err}
			}
			return err
		},
	}
}

// backUp writes a backup to a path.
func backUp(ctx context.Context, c *cli.Command, path string, stdout *output, stderr io.Writer) error {
	var count transfer
	write := func(w io.Writer) error {
		count.Count = progress.NewCount(stderr, wrap.Columns(stderr), "MiB of the store")
		defer count.End()
		return copyBackup(ctx, c, io.MultiWriter(w, &count), &count)
	}
	if path == toStdout {
		if wrap.Columns(stdout.w) > 0 {
			return &usageError{errors.New("standard output is a terminal: name a FILE, or redirect it")}
		}
		return write(stdout)
	}
	err := app.SaveBackup(path, c.Bool("force"), write)
	if errors.Is(err, fs.ErrExist) {
		return &usageError{fmt.Errorf("%s is there already: name another file, or give --force to replace it", path)}
	}
	if errors.Is(err, fs.ErrInvalid) {
		return &usageError{fmt.Errorf("%s is no file: name one, or - for standard output", path)}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%s has the store: %s, checked\n", path, humanize.IBytes(uint64(count.done)))
	return nil
}

// copyBackup copies the store to w: that of the running server, or the file that --store
// names.
func copyBackup(ctx context.Context, c *cli.Command, w io.Writer, count *transfer) error {
	if setting := c.String("store"); setting != "" {
		err := app.CopyStore(w, setting, count.of)
		if errors.Is(err, store.ErrInUse) {
			return fmt.Errorf("%w; or, if that is `serve`, omit --store to have it copied", err)
		}
		return err
	}
	return exchangeAdmin(ctx, c, http.MethodGet, "/api/v1/backup", longestBackup, nil, func(resp *http.Response, shown string) error {
		if resp.ContentLength < 0 {
			return fmt.Errorf("%s sends no length with the backup: is it the --admin-listen of `serve`?", shown)
		}
		count.of(resp.ContentLength)
		if n, err := io.Copy(w, resp.Body); err != nil {
			return fmt.Errorf("the backup of %s broke off after %d of %d bytes: %w", shown, n, resp.ContentLength, err)
		}
		return nil
	})
}

// transfer shows how much of a backup is written.
type transfer struct {
	*progress.Count
	done, size int64 // bytes
}

// of notes the size of the whole.
func (t *transfer) of(size int64) { t.size = size }

// Write implements io.Writer.
func (t *transfer) Write(b []byte) (int, error) {
	t.done += int64(len(b))
	const mib = 1 << 20
	t.Done(int(t.done/mib), int((t.size+mib-1)/mib), "")
	return len(b), nil
}
