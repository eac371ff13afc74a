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

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// defaultDeliveries is how many deliveries are listed without --limit.
	defaultDeliveries = 50
	// polledDeliveries is how many deliveries are read at a time while they are followed,
	// and maxNew if none of these was seen before: of more than those in an interval, the
	// oldest are left out.
	polledDeliveries = 500
)

// deliveryFilters are the filters of the API.
var deliveryFilters = []filterFlag{
	{"result", "only those with this `RESULT`: " + strings.Join(event.DeliveryResults, ", ")},
	{"project", "only those of the projects whose path the `GLOB` matches, in any letter case, or of that with this id"},
	{"pipeline", "only those of the pipeline with this `ID`"},
	{"job", "only those of the job with this `ID`"},
	{"since", "only those that came since `WHEN`: so long ago, like 2h or 7d, or a time, like 2026-12-24T18:00:00Z"},
}

func deliveriesCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "deliveries",
		Usage: "list which webhook deliveries a running server got, and what became of them",
		Description: "Lists the deliveries to all replicas, the newest first. About 80,000 of GitLab are kept, and, apart from them,\n" +
			"some of senders without a valid token; all for as long at most as the server's\n" +
			"--deliveries-retention says (30 days).\n\n" +
			"With --follow, it prints the last ones, the oldest first, and then each delivery that comes: to try a webhook, press\n" +
			"Test at it in GitLab. On a narrow terminal, each delivery is a paragraph instead of a row.",
		Flags: slices.Concat(adminFlags(), filterFlags(deliveryFilters), []cli.Flag{
			&cli.IntFlag{Name: "limit", Value: defaultDeliveries, Usage: "list at most `N`; with --follow, begin with the last N"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on printing those that come, until Ctrl-C"},
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "with --follow, how often the server is queried, as `TIME`"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON: a list, or with --follow one object on each line"},
		}),
		Action: func(ctx context.Context, c *cli.Command) error {
			query, err := queryOf(c, deliveryFilters)
			if err != nil {
				return err
			}
			limit, interval := c.Int("limit"), c.Duration("interval")
			if err := checkPace(c); err != nil {
				return err
			}
			read := func(ctx context.Context, limit int) ([]event.Delivery, bool, error) {
				items, more, err := listAdmin(ctx, c, "/api/v1/deliveries", "deliveries", query, limit)
				if err != nil {
					return nil, false, err
				}
				list, err := decodeAll[event.Delivery](items)
				return list, more, err
			}
			out := deliveryPrinter{newItemPrinter(stdout, c.Bool("json"))}
			if c.Bool("follow") {
				return followDeliveries(ctx, read, limit, interval, out, stderr)
			}
			list, more, err := read(ctx, limit)
			if err != nil {
				return err
			}
			if err := out.list(list); err != nil {
				return err
			}
			if more {
				hintMore(stderr, limit)
			}
			return nil
		},
	}
}

// readDeliveries reads the latest deliveries, newest first, limit at most, and reports
// whether there are more.
type readDeliveries func(ctx context.Context, limit int) (list []event.Delivery, more bool, err error)

// followDeliveries prints deliveries as they come, until ctx is done. It survives a restart
// of the server, but wants one at its start.
func followDeliveries(ctx context.Context, read readDeliveries, limit int, interval time.Duration, out deliveryPrinter, stderr io.Writer) error {
	list, _, err := read(ctx, max(limit, polledDeliveries))
	if err != nil {
		return err
	}
	if err := out.each(list[:min(limit, len(list))]); err != nil {
		return err
	}
	f := &deliveryFollower{read: read, seen: map[event.Delivery]bool{}}
	f.note(list)
	return pollServer(ctx, interval, func(ctx context.Context) error {
		fresh, err := f.fresh(ctx)
		if err != nil {
			return err
		}
		return out.each(fresh)
	}, stderr)
}

// deliveryFollower finds the deliveries that are new. One that took long to arrive has a
// place among those that were seen, so these are read again.
type deliveryFollower struct {
	read   readDeliveries
	seen   map[event.Delivery]bool // those from the time oldest on
	oldest time.Time
	newest time.Time // of those that were seen
}

// fresh reads the deliveries that were not seen, newest first.
func (f *deliveryFollower) fresh(ctx context.Context) ([]event.Delivery, error) {
	for limit := polledDeliveries; ; limit = maxNew {
		list, more, err := f.read(ctx, limit)
		if err != nil {
			return nil, err
		}
		if more && limit < maxNew && list[len(list)-1].At.After(f.newest) {
			continue // there are new ones behind these
		}
		fresh := slices.DeleteFunc(slices.Clone(list), func(d event.Delivery) bool { return d.At.Before(f.oldest) || f.seen[d] })
		f.note(list)
		return fresh, nil
	}
}

// note notes that the deliveries of a list were seen, and forgets those that are not read
// again.
func (f *deliveryFollower) note(list []event.Delivery) {
	if len(list) == 0 {
		return
	}
	f.newest = latest(f.newest, list[0].At)
	if len(list) >= polledDeliveries {
		f.oldest = latest(f.oldest, list[polledDeliveries-1].At)
	}
	for _, d := range list {
		f.seen[d] = true
	}
	maps.DeleteFunc(f.seen, func(d event.Delivery, _ bool) bool { return d.At.Before(f.oldest) })
}

// latest returns the later one of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// deliveryPrinter prints deliveries.
type deliveryPrinter struct{ itemPrinter }

// list prints a list of deliveries.
func (p deliveryPrinter) list(all []event.Delivery) error {
	l := listing{head: []any{"time", "result", "project", "ref", "event", "status", "reason"}}
	for _, d := range all {
		d := cleaned(d)
		l.rows = append(l.rows, row{
			cells:     []any{timeText(d.At), p.result(d), d.Project, d.Ref, eventText(d), d.Status, p.reason(d)},
			paragraph: p.paragraph(d),
		})
	}
	return p.all(all, l, "no deliveries")
}

// each prints those of the deliveries that are followed, which come newest first.
func (p deliveryPrinter) each(all []event.Delivery) error {
	for _, d := range slices.Backward(all) {
		if err := p.one(d, p.paragraph(cleaned(d))); err != nil {
			return err
		}
	}
	return nil
}

// paragraph returns the lines about a delivery, which is cleaned.
func (p deliveryPrinter) paragraph(d event.Delivery) []string {
	what := d.Hook
	switch d.Kind {
	case event.KindJob:
		what = strings.TrimSpace("job " + d.JobName + " " + d.Status)
	case event.KindPipeline:
		what = strings.TrimSpace("pipeline " + d.Status)
	}
	return []string{
		fmt.Sprintf("%s  %s  %s", timeText(d.At), p.result(d), p.colour.bold(what)),
		whereText(admin.Subject{Project: d.Project, Ref: d.Ref, Pipeline: d.Pipeline, Job: d.Job}),
		p.reason(d),
	}
}

// eventText returns the pipeline and the job, or the kind of hook if it is about neither.
func eventText(d event.Delivery) string {
	if text := jobText(d.Pipeline, d.Job, d.JobName); text != "" {
		return text
	}
	return d.Hook
}

// result returns the HTTP status and the result in their colour.
func (p deliveryPrinter) result(d event.Delivery) string {
	text := fmt.Sprintf("%d %s", d.Code, d.Result)
	switch d.Result {
	case event.DeliveryStored:
		return p.colour.green(text)
	case event.DeliveryDuplicate, event.DeliveryIgnored:
		return p.colour.dim(text)
	}
	return p.colour.red(text)
}

// reason returns the reason of the result; of a delivery that was refused, with its sender.
func (p deliveryPrinter) reason(d event.Delivery) string {
	if d.Code < http.StatusBadRequest {
		return d.Reason
	}
	sender := "(from " + d.From
	if d.Agent != "" {
		sender += ", " + d.Agent
	}
	return strings.TrimPrefix(d.Reason+"\n", "\n") + p.colour.dim(sender+")")
}
