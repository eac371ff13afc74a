package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/unknown"
)

func proposeCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "propose",
		Usage:     "write a failure class, a rule and a rule test for a group of failed jobs",
		ArgsUsage: "CLUSTER",
		Description: "CLUSTER is the id of a group that `unknown` lists. The class is tried on logs of jobs that passed, and must match none of\n" +
			"them: those that ship with Pipesteward, those of --passing, and those of your jobs that `backtest --passing-logs` has put into\n" +
			"its cache on this machine. To have files that `check` and `test` can load:\n\n" +
			"   pipesteward propose 3f2a9c01 --part rules --passing logs/ > proposed.yaml\n" +
			"   pipesteward propose 3f2a9c01 --part test > proposed.test.yaml\n\n" +
			"Exit status: 0 if the class matches no log, also if there were none of your jobs to try it on, of which standard error warns;\n" +
			"1 if it matches some, or if no class is proposed, because the group says too little: it has fewer than two words of three letters\n" +
			"besides what differs from job to job and the words that most logs have, or a log that ships with Pipesteward has the same;\n" +
			"2 for a wrong command line.",
		Flags: append(append(adminFlags(), passingFlags()...),
			&cli.StringFlag{Name: "part", Value: "all", Usage: "write only `PART`: rules, the file of the class and the rule, or test, that of its test; all: both, with --- between"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			id := c.Args().First()
			switch {
			case id == "":
				return &usageError{errors.New("propose needs the id of a group, as `pipesteward unknown` lists them")}
			case c.Args().Len() > 1:
				return &usageError{fmt.Errorf("propose takes one id, but got %d", c.Args().Len())}
			}
			part := c.String("part")
			if part != "all" && part != "rules" && part != "test" {
				return &usageError{fmt.Errorf("--part must be all, rules or test, not %q", part)}
			}
			page, err := readUnknown(ctx, c, url.Values{"id": {id}})
			if err != nil {
				return err
			}
			clusters := page.Clusters
			if len(clusters) == 0 {
				return fmt.Errorf("there is no group %q: `pipesteward unknown` lists them", id)
			}
			logs, err := logsFor(c, clusters[0])
			if err != nil {
				return err
			}
			p, err := unknown.Propose(clusters[0], logs)
			if err != nil {
				return err
			}
			text := map[string]string{"all": p.Rules + "---\n" + p.Test, "rules": p.Rules, "test": p.Test}[part]
			if _, err := io.WriteString(stdout, text); err != nil {
				return err
			}
			fmt.Fprintln(stderr, triedOn(p, newPrinter(stderr)))
			if len(p.Matched) > 0 {
				return errReported
			}
			return nil
		},
	}
}

// passingFlags name logs of jobs that passed.
func passingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cache", Usage: "`DIRECTORY` of the cache of `pipesteward backtest --passing-logs`, whose logs of the same GitLab are tried, too; default: as there"},
		&cli.StringSliceFlag{Name: "passing", Usage: "a `FILE` with the log of a job that passed, or a directory of such files (repeatable); - reads one from standard input"},
	}
}

// logsFor returns the logs of jobs that passed on which a class for the cluster is tried, as
// passingFlags name them.
func logsFor(c *cli.Command, cluster unknown.Cluster) (unknown.Logs, error) {
	logs := allLogs{passingLogs(c.StringSlice("passing"))}
	dir, err := backtestCache(c)
	if err == nil {
		_, err = os.Stat(dir)
	}
	switch {
	case err == nil && len(cluster.Jobs) > 0:
		logs = append(logs, history.Passing{Dir: dir, URL: cluster.Jobs[0].URL})
	case err != nil && c.IsSet("cache"):
		return nil, fmt.Errorf("--cache: %w", err)
	}
	return logs, nil
}

// triedOn says how many logs of jobs that passed a class matches.
func triedOn(p unknown.Proposal, colour printer) string {
	switch logs := english.Plural(p.Logs, "log", "") + " of jobs that passed"; {
	case p.Logs == 0:
		return colour.yellow("WARNING: the class "+p.Class+" was tried on no log of your jobs that passed") + fmt.Sprintf(", only on %d that ship with Pipesteward. Whether it takes jobs that are fine is not known. "+
			"Read such logs with `pipesteward backtest --project PROJECT --since 7d --passing-logs 20`, or give files with --passing, and run `propose` again.", p.Shipped)
	case len(p.Matched) > 0:
		return fmt.Sprintf("the class %s matches %d of %s: %s", p.Class, len(p.Matched), logs, strings.Join(p.Matched, ", "))
	default:
		return fmt.Sprintf("the class %s matches none of %s", p.Class, logs)
	}
}

// allLogs are logs from several places.
type allLogs []unknown.Logs

// Each implements unknown.Logs.
func (all allLogs) Each(visit func(name, log string) error) error {
	for _, logs := range all {
		if err := logs.Each(visit); err != nil {
			return err
		}
	}
	return nil
}

// passingLogs are files with logs, and directories of such files.
type passingLogs []string

// maxPassing bounds what is read of a log, in bytes.
const maxPassing = 100 << 20

// Each implements unknown.Logs.
func (paths passingLogs) Each(visit func(name, log string) error) error {
	for _, path := range paths {
		if path == standardStream {
			log, err := readFile(path)
			if err == nil {
				err = visit(path, string(log))
			}
			if err != nil {
				return fmt.Errorf("--passing: %w", err)
			}
			continue
		}
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			log, err := io.ReadAll(io.LimitReader(f, maxPassing))
			if err != nil {
				return err
			}
			return visit(name, string(log))
		})
		if err != nil {
			return fmt.Errorf("--passing: %w", err)
		}
	}
	return nil
}
