package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// maxFollowed is how many decisions without a final outcome are followed: a further
	// one replaces the oldest.
	maxFollowed = 500
	// maxNew is how many new decisions or deliveries are read at a time: those of a long
	// absence of the server.
	maxNew = 5000
	// idsPerCall is how many decisions one call of the API can name.
	idsPerCall = 50
)

// followDecisions prints decisions as they are made and as their outcomes change, until
// ctx is done. It survives a restart of the server, but wants one at its start.
func followDecisions(ctx context.Context, c *cli.Command, query url.Values, limit int, interval time.Duration, out decisionPrinter, stderr io.Writer) error {
	f := &follower{
		outcome: query.Get("outcome"), out: out, seen: map[string]string{},
		list: func(ctx context.Context, more url.Values, limit int) ([]json.RawMessage, error) {
			q := maps.Clone(query)
			q.Del("outcome") // an outcome may change into this one
			maps.Copy(q, more)
			items, _, err := listAdmin(ctx, c, "/api/v1/decisions", "decisions", q, limit)
			return items, err
		},
		byID: func(ctx context.Context, ids []string) ([]json.RawMessage, error) {
			var page struct{ Decisions []json.RawMessage }
			err := callAdmin(ctx, c, http.MethodGet, "/api/v1/decisions?"+url.Values{"id": ids}.Encode(), nil, &page)
			return page.Decisions, err
		},
	}
	if err := f.begin(ctx, limit); err != nil {
		return err
	}
	return pollServer(ctx, interval, f.poll, stderr)
}

// pollServer calls poll at intervals until ctx is done. It says on stderr when the server
// does not answer, and goes on when it does again.
func pollServer(ctx context.Context, interval time.Duration, poll func(context.Context) error, stderr io.Writer) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for gone := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			gone = false
		case !away(err):
			return err
		case !gone:
			gone = true
			fmt.Fprintf(stderr, "the server does not answer now, and is asked again until it does: %s\n", printable(err.Error()))
		}
	}
}

// follower prints each decision once for each outcome that it has.
type follower struct {
	outcome string // only those with this one; "": all
	out     decisionPrinter
	// list lists the newest decisions, newest first, and byID those with the ids.
	list func(ctx context.Context, more url.Values, limit int) ([]json.RawMessage, error)
	byID func(ctx context.Context, ids []string) ([]json.RawMessage, error)

	seen   map[string]string // what was seen of a decision, by its id
	newest []string          // ids of those that were read last
	open   []string          // ids of those whose outcome may change
}

// begin prints the last decisions that there are, and finds those whose outcome may change.
func (f *follower) begin(ctx context.Context, limit int) error {
	items, err := f.list(ctx, url.Values{}, max(limit, 1))
	if err != nil {
		return err
	}
	for _, outcome := range []string{waiting, event.ResultDeferred} {
		older, err := f.list(ctx, url.Values{"outcome": {outcome}}, maxFollowed)
		if err != nil {
			return err
		}
		if err := f.show(unlisted(older, items), false); err != nil {
			return err
		}
	}
	shown := min(limit, len(items))
	if err := f.show(items[shown:], false); err != nil {
		return err
	}
	return f.show(items[:shown], true)
}

// unlisted returns those of the older decisions that follow the newest ones.
func unlisted(older, newest []json.RawMessage) []json.RawMessage {
	listed := map[string]bool{}
	for _, item := range newest {
		listed[idOf(item)] = true
	}
	return slices.DeleteFunc(older, func(item json.RawMessage) bool { return listed[idOf(item)] })
}

// idOf returns the id of a decision; "" if it can't be read.
func idOf(item json.RawMessage) string {
	var d struct{ ID string }
	_ = json.Unmarshal(item, &d) // show returns the error
	return d.ID
}

// poll prints the decisions that are new, and those whose outcome has changed.
func (f *follower) poll(ctx context.Context) error {
	var changed []json.RawMessage
	for ids := range slices.Chunk(slices.Clone(f.open), idsPerCall) {
		items, err := f.byID(ctx, ids)
		if err != nil {
			return err
		}
		changed = append(changed, items...)
	}
	fresh, err := f.fresh(ctx)
	if err != nil {
		return err
	}
	return f.show(append(fresh, changed...), true)
}

// fresh reads the decisions that are newer than those that were read before.
func (f *follower) fresh(ctx context.Context) ([]json.RawMessage, error) {
	for limit := idsPerCall; ; limit *= 10 {
		items, err := f.list(ctx, url.Values{}, min(limit, maxNew))
		if err != nil {
			return nil, err
		}
		known := slices.IndexFunc(items, func(item json.RawMessage) bool { return slices.Contains(f.newest, idOf(item)) })
		switch {
		case known >= 0:
			return items[:known], nil
		case len(items) < limit || limit >= maxNew:
			return items, nil
		}
	}
}

// show prints decisions, which come newest first, that were not printed with the outcome
// that they have. Those that are not to be printed are noted as if they were.
func (f *follower) show(items []json.RawMessage, printed bool) error {
	var newest []string
	for _, item := range slices.Backward(items) {
		var o event.Outcome
		if err := json.Unmarshal(item, &o); err != nil {
			return fmt.Errorf("the server's answer can't be read: %w", err)
		}
		state := o.Result + " " + o.Reason + " " + o.At.String()
		if f.seen[o.ID] == state {
			continue
		}
		f.seen[o.ID] = state
		newest = slices.Insert(newest, 0, o.ID)
		f.open = slices.DeleteFunc(f.open, func(id string) bool { return id == o.ID })
		if o.Result == "" || o.Result == event.ResultDeferred {
			f.open = slices.Insert(f.open, 0, o.ID)
		}
		if printed && (f.outcome == "" || f.outcome == cmp.Or(o.Result, waiting)) {
			if err := f.out.one(item, f.out.paragraph(cleaned(o))); err != nil {
				return err
			}
		}
	}
	f.open = f.open[:min(len(f.open), maxFollowed)]
	f.newest = append(newest, f.newest...)
	f.newest = f.newest[:min(len(f.newest), maxFollowed)]
	f.forget()
	return nil
}

// forget drops what is not needed any more of what was seen.
func (f *follower) forget() {
	if len(f.seen) <= 4*maxFollowed {
		return
	}
	kept := map[string]string{}
	for _, id := range slices.Concat(f.newest, f.open) {
		kept[id] = f.seen[id]
	}
	f.seen = kept
}
