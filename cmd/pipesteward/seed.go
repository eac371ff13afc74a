package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/backtest"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxSeeds is how many tries a backtest adds to what a server knows of retries, the newest.
const maxSeeds = 20_000

// seed adds the tries of a backtest, the newest last, to what the running server that the flags
// name knows of retries, and says on stderr what became of them.
func seed(ctx context.Context, c *cli.Command, instance string, tries []backtest.Try, stderr io.Writer) error {
	var found []event.PastTry
	var sum event.Seeded
	for _, t := range tries[max(0, len(tries)-maxSeeds):] {
		past := t.Past()
		if past.Check(time.Now()) != nil { // GitLab does not tell all of it, such as its end
			sum.LeftOut++
			continue
		}
		found = append(found, past)
	}
	for some := range slices.Chunk(found, admin.MaxTries) {
		var now event.Seeded
		request := admin.TriesRequest{Instance: instance, Tries: some, By: who(c), Reason: "pipesteward backtest --seed"}
		if err := callAdmin(ctx, c, http.MethodPost, "/api/v1/tries", request, &now); err != nil {
			return fmt.Errorf("--seed: %w", err)
		}
		sum.Added, sum.Known, sum.LeftOut = sum.Added+now.Added, sum.Known+now.Known, sum.LeftOut+now.LeftOut
	}
	_, err := fmt.Fprintf(stderr, "%s added to what the server knows of retries; %d %s known, %d %s nothing about a retry at once\n",
		english.Plural(sum.Added, "run that was run again", "runs that were run again"), sum.Known, english.PluralWord(sum.Known, "was", "were"), sum.LeftOut, english.PluralWord(sum.LeftOut, "says", "say"))
	return err
}
