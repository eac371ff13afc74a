package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

func statusCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the rules, pauses, mutes and queue of a running server",
		Flags: append(adminFlags(), &cli.BoolFlag{Name: "json", Usage: "print JSON"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			var s admin.Status
			if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/status", nil, &s); err != nil {
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
	fmt.Fprintf(w, "version  %s\n", printable(s.Version))
	fmt.Fprintf(w, "rules    %d, loaded %s, %.12s\n", s.Rules.Count, humanize.Time(s.Rules.LoadedAt), s.Rules.Hash)
	if s.Rules.Error != "" {
		fmt.Fprintf(w, "         the rule files have changed and can't be used: %s\n", printable(s.Rules.Error))
	}
	printQueueStatus(w, s.Queue)
	if s.DryRun {
		fmt.Fprintln(w, "dry run  yes: nothing is changed in GitLab")
	}
	printParts(w, s.Parts)
	for i, change := range s.Changes {
		fmt.Fprintf(w, "%-8s %s\n", [2]string{"changes", ""}[min(i, 1)], printable(changeText(change)))
	}
	printPauses(w, s.Paused)
	if len(s.Muted) > 0 {
		printMutes(w, s.Muted)
	}
}

// printQueueStatus prints how the queue is.
func printQueueStatus(w io.Writer, q admin.QueueStatus) {
	fmt.Fprintf(w, "queue    %s\n", depthText(q.Depth))
	if q.OldestDue >= 1 {
		fmt.Fprintf(w, "         the oldest has been due for %s\n", event.Coarse(time.Duration(q.OldestDue*float64(time.Second))))
	}
	if len(q.WaitsFor) > 0 {
		fmt.Fprintf(w, "         waiting for: %s\n", printable(counted(q.WaitsFor)))
	}
	if len(q.DeadReasons) > 0 {
		fmt.Fprintf(w, "         dead because: %s; see `pipesteward queue list --dead`\n", printable(counted(q.DeadReasons)))
	}
}

// maxCounted is how many texts counted names.
const maxCounted = 5

// counted returns texts with their numbers, the most frequent first.
func counted(counts map[string]int) string {
	texts := words.MostFrequent(counts)
	var parts []string
	for _, text := range texts[:min(len(texts), maxCounted)] {
		parts = append(parts, fmt.Sprintf("%s (%d)", text, counts[text]))
	}
	if more := len(texts) - maxCounted; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// changeText returns who changed what and when.
func changeText(c event.Change) string {
	text := timeText(c.At) + "  " + c.Action
	if c.Target != "" {
		text += " " + c.Target
	}
	text += " by " + c.Who()
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	if !c.Until.IsZero() {
		text += ", until " + timeText(c.Until)
	}
	return text
}

// printParts prints what else serve says of itself: its "summary" where it has
// one.
func printParts(w io.Writer, parts map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if part, ok := parts[name].(map[string]any); ok && part["summary"] != nil {
			fmt.Fprintf(w, "%-8s %s\n", name, printable(fmt.Sprint(part["summary"])))
		}
	}
}
