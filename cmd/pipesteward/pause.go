package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

const defaultAdminURL = "http://127.0.0.1:9090"

// adminURLFlag names the server that a command talks to.
func adminURLFlag() cli.Flag {
	return stringFlag("admin-url", defaultAdminURL, "`URL` of the running server's --admin-listen")
}

// scopeFlags name what is paused or resumed.
func scopeFlags() []cli.Flag {
	return []cli.Flag{
		adminURLFlag(),
		&cli.StringFlag{Name: "project", Usage: "only the projects whose path the `GLOB` matches"},
		&cli.StringFlag{Name: "rule", Usage: "only the rule of this `NAME`"},
		&cli.StringFlag{Name: "by", Usage: "`WHO` does this; default: the user who runs the command"},
	}
}

func pauseCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "pause",
		Usage: "stop all actions of a running server, or those of a project or a rule",
		Description: "On all replicas, at once, until `resume` or the given time. Events are still received and decided; what they decide waits, and is checked\n" +
			"against the job's real state again afterwards.",
		Flags: append(scopeFlags(),
			&cli.StringFlag{Name: "for", Usage: "how `LONG`, like 2h; default: until resume"},
			&cli.TimestampFlag{Name: "until", Usage: "until `WHEN`, like 2026-12-24T18:00:00Z", Config: cli.TimestampConfig{Layouts: []string{time.RFC3339}}},
			&cli.StringFlag{Name: "reason", Usage: "`WHY`, for those who look"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			return changePauses(ctx, c, stdout, "/api/v1/pause", admin.PauseRequest{
				Project: given(c, "project"), Rule: given(c, "rule"), For: c.String("for"), Until: c.Timestamp("until"),
				Reason: c.String("reason"), By: cmp.Or(c.String("by"), whoRuns()),
			})
		},
	}
}

func resumeCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "resume",
		Usage: "end a pause",
		Flags: append(scopeFlags(), &cli.BoolFlag{Name: "every", Usage: "end every pause that there is"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			return changePauses(ctx, c, stdout, "/api/v1/resume", admin.ResumeRequest{
				Project: given(c, "project"), Rule: given(c, "rule"), Every: c.Bool("every"), By: cmp.Or(c.String("by"), whoRuns()),
			})
		},
	}
}

// given returns a flag's value; nil: it is not given.
func given(c *cli.Command, flag string) *string {
	if !c.IsSet(flag) {
		return nil
	}
	value := c.String(flag)
	return &value
}

// changePauses posts what is to be paused or resumed, and prints what is paused
// then.
func changePauses(ctx context.Context, c *cli.Command, stdout io.Writer, path string, request any) error {
	if c.Args().Present() {
		return &usageError{fmt.Errorf("%s takes no arguments, but got %q: give --project or --rule", c.Name, c.Args().First())}
	}
	for _, scope := range []string{"project", "rule"} {
		if c.IsSet(scope) && c.String(scope) == "" {
			return &usageError{fmt.Errorf("--%s is empty, as an unset variable is: give a value, or leave it out for everything", scope)}
		}
	}
	var now admin.Paused
	if err := adminCall(ctx, c.String("admin-url"), http.MethodPost, path, request, &now); err != nil {
		return err
	}
	printPauses(stdout, now.Paused)
	return nil
}

func statusCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show what a running server has in force, paused and queued",
		Flags: []cli.Flag{adminURLFlag(), &cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("status takes no arguments, but got %q", c.Args().First())}
			}
			var s admin.Status
			if err := adminCall(ctx, c.String("admin-url"), http.MethodGet, "/api/v1/status", nil, &s); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(stdout, s)
			}
			printStatus(stdout, s)
			return nil
		},
	}
}

func printStatus(w io.Writer, s admin.Status) {
	fmt.Fprintf(w, "version  %s\n", s.Version)
	fmt.Fprintf(w, "rules    %d, loaded %s, %.12s\n", s.Rules.Count, humanize.Time(s.Rules.LoadedAt), s.Rules.Hash)
	if s.Rules.Error != "" {
		fmt.Fprintf(w, "         the rule files have changed and can't be used: %s\n", s.Rules.Error)
	}
	fmt.Fprintf(w, "queue    %d due, %d waiting, %d in flight, %d dead\n", s.Queue.Due, s.Queue.Waiting, s.Queue.Leased, s.Queue.Dead)
	if s.DryRun {
		fmt.Fprintln(w, "dry run  yes: nothing is changed in GitLab")
	}
	printParts(w, s.Parts)
	printPauses(w, s.Paused)
}

// printParts prints what else serve says of itself: its "summary" where it has
// one.
func printParts(w io.Writer, parts map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if part, ok := parts[name].(map[string]any); ok && part["summary"] != nil {
			fmt.Fprintf(w, "%-8s %v\n", name, part["summary"])
		}
	}
}

func printPauses(w io.Writer, all []event.Pause) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is paused")
	}
	for _, p := range all {
		fmt.Fprintf(w, "%s, since %s\n", p, p.Since.Format(time.RFC3339))
	}
}

// whoRuns returns the name of the user who runs the command, "" where the
// system does not know it.
func whoRuns() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// adminTimeout bounds one call of the admin API.
const adminTimeout = 20 * time.Second

// adminCall calls the admin API of a running server. body and into are JSON; a
// nil body sends none. Its errors are the server's words.
func adminCall(ctx context.Context, base, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(base, "/")+path, bytes.NewReader(content))
	if err != nil || req.URL.Host == "" {
		return &usageError{fmt.Errorf("--admin-url: %q is not a URL: write for instance %s", base, defaultAdminURL)}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no server answers at %s (start `serve`, or give its --admin-listen as --admin-url): %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answered, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct{ Error string }
		if json.Unmarshal(answered, &refused) == nil && refused.Error != "" {
			return errors.New(refused.Error)
		}
		return fmt.Errorf("%s answers %s: is it the --admin-listen of `serve`?", base, resp.Status)
	}
	if err := json.Unmarshal(answered, into); err != nil {
		return fmt.Errorf("%s gives no JSON (%w): is it the --admin-listen of `serve`?", base, err)
	}
	return nil
}
