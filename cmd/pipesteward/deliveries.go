package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// defaultDeliveries is how many deliveries are listed without --limit.
	defaultDeliveries = 50
	// polledDeliveries is how many deliveries are read at a time while they are followed:
	// of more than these in an interval, the oldest are left out.
	polledDeliveries = 500
)

// deliveryFilters are the filters of the API.
var deliveryFilters = []filterFlag{
	{"result", "only those with this `RESULT`: " + strings.Join(event.DeliveryResults, ", ")},
	{"project", "only those of the project with this `PATH` or id"},
	{"pipeline", "only those of the pipeline with this `ID`"},
	{"job", "only those of the job with this `ID`"},
	{"since", "only those that came since `WHEN`: so long ago, like 2h or 7d, or a time, like 2026-12-24T18:00:00Z"},
}

func deliveriesCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "deliveries",
		Usage: "list which webhook deliveries a running server got, and what became of them",
		Description: "Lists the deliveries to all replicas, the newest first. About 80,000 of GitLab are kept, and, apart from them,\n" +
			"some of senders without a valid token; all for 30 days at most.\n\n" +
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
			if limit < 1 && !c.Bool("follow") || limit < 0 || interval <= 0 {
				return &usageError{errors.New("--limit and --interval must be more than 0")}
			}
			read := func(ctx context.Context, limit int) ([]event.Delivery, error) {
				query.Set("limit", strconv.Itoa(min(limit, admin.MaxDeliveries)))
				var page admin.DeliveriesPage
				err := callAdmin(ctx, c, http.MethodGet, "/api/v1/deliveries?"+query.Encode(), nil, &page)
				return page.Deliveries, err
			}
			out := deliveryPrinter{newItemPrinter(stdout, c.Bool("json"))}
			if c.Bool("follow") {
				return followDeliveries(ctx, read, limit, interval, out, stderr)
			}
			list, err := read(ctx, limit+1)
			if err != nil {
				return err
			}
			if err := out.list(list[:min(limit, len(list))]); err != nil {
				return err
			}
			switch {
			case len(list) == admin.MaxDeliveries:
				fmt.Fprintf(stderr, "there may be more than %d, which is the most that can be listed: use --since, --project or another filter\n", admin.MaxDeliveries)
			case len(list) > limit:
				hintMore(stderr, limit)
			}
			return nil
		},
	}
}

// followDeliveries prints deliveries as they come, until ctx is done. It survives a restart
// of the server, but wants one at its start. read reads the latest ones, newest first.
func followDeliveries(ctx context.Context, read func(ctx context.Context, limit int) ([]event.Delivery, error), limit int, interval time.Duration, out deliveryPrinter, stderr io.Writer) error {
	seen, err := read(ctx, max(limit, polledDeliveries))
	if err != nil {
		return err
	}
	if err := out.each(seen[:min(limit, len(seen))]); err != nil {
		return err
	}
	return pollServer(ctx, interval, func(ctx context.Context) error {
		list, err := read(ctx, polledDeliveries)
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(list, func(d event.Delivery) bool { return slices.Contains(seen, d) })
		seen = append(slices.Clone(fresh), seen[:min(2*polledDeliveries, len(seen))]...)
		return out.each(fresh)
	}, stderr)
}

// deliveryPrinter prints deliveries.
type deliveryPrinter struct{ itemPrinter }

// list prints a list of deliveries.
func (p deliveryPrinter) list(all []event.Delivery) error {
	l := listing{head: []any{"time", "result", "project", "ref", "event", "status", "reason"}}
	for _, d := range all {
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
		if err := p.one(d, p.paragraph(d)); err != nil {
			return err
		}
	}
	return nil
}

// paragraph returns the lines about a delivery.
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
