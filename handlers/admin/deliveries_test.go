package admin_test

import (
	"cmp"
	"context"
	stdjson "encoding/json"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// delivered are deliveries, newest first.
type delivered struct {
	list []event.Delivery
	err  error
}

var _ admin.DeliveryLister = (*delivered)(nil)

// The cursor is the number of deliveries before.
func (d *delivered) Deliveries(_ context.Context, match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (list []event.Delivery, next string, err error) {
	list = []event.Delivery{}
	from, err := strconv.Atoi(cmp.Or(cursor, "0"))
	if err != nil {
		return nil, "", store.BadCursor(cursor)
	}
	for i, delivery := range d.list[min(from, len(d.list)):] {
		switch {
		case !match(&delivery) || delivery.At.Before(since):
		case len(list) == limit:
			return list, strconv.Itoa(from + i), d.err
		default:
			list = append(list, delivery)
		}
	}
	return list, "", d.err
}

func TestDeliveries(t *testing.T) {
	r := newAdminRig(t)
	r.deliveries.list = []event.Delivery{
		{At: now, Event: "4", Result: event.DeliveryStored, Project: "platform/shop", ProjectID: 7, Pipeline: 70, Job: 700},
		{At: now.Add(-time.Minute), Event: "3", Result: event.DeliveryIgnored, Project: "platform/shop", ProjectID: 7, Pipeline: 70, Job: 701},
		{At: now.Add(-time.Hour), Event: "2", Result: event.DeliveryUnauthorized},
		{At: now.Add(-time.Hour), Event: "1", Result: event.DeliveryStored, Project: "platform/api", ProjectID: 8, Pipeline: 80},
	}
	for query, want := range map[string][]string{
		"":                               {"4", "3", "2", "1"},
		"?limit=2":                       {"4", "3"},
		"?result=unauthorized":           {"2"},
		"?project=platform/shop":         {"4", "3"},
		"?project=8":                     {"1"},
		"?pipeline=70&result=stored":     {"4"},
		"?job=701":                       {"3"},
		"?job=702":                       {},
		"?since=1m":                      {"4", "3"},
		"?since=30s&project=8":           {},
		"?project=platform/shop&limit=1": {"4"},
		"?project=Platform%2FShop":       {"4", "3"},
		"?project=PLATFORM/**":           {"4", "3", "1"},
		"?project=platform/*o*":          {"4", "3"},
		"?pipeline=80&limit=500&cursor=": {"1"},
		"?limit=2&cursor=2":              {"2", "1"},
		"?limit=1&cursor=2&project=8":    {"1"},
	} {
		code, answer := r.get(t, "/api/v1/deliveries"+query)
		var page admin.DeliveriesPage
		if err := stdjson.Unmarshal([]byte(answer), &page); err != nil || code != http.StatusOK {
			t.Errorf("%s: %d %s", query, code, answer)
			continue
		}
		if more := query == "?limit=2" || query == "?project=platform/shop&limit=1"; more != (page.Next != "") {
			t.Errorf("%s: the next page is %q, want one: %t", query, page.Next, more)
		}
		ids := []string{}
		for _, d := range page.Deliveries {
			ids = append(ids, d.Event)
		}
		if diff := gocmp.Diff(want, ids); diff != "" {
			t.Errorf("%s: deliveries differ (- want, + got):\n%s", query, diff)
		}
	}
}

func TestDeliveriesOfAnEmptyLog(t *testing.T) {
	if code, answer := newAdminRig(t).get(t, "/api/v1/deliveries"); code != http.StatusOK || answer != `{"deliveries":[],"next":""}` {
		t.Errorf("answer is %d %s", code, answer)
	}
}

func TestBadDeliveriesQueries(t *testing.T) {
	r := newAdminRig(t)
	for query, want := range map[string]string{
		"result=accepted":       `{"error":"parameter \"result\": it must be one of stored, duplicate, ignored, unauthorized, foreign, malformed, too_large, slow, unavailable, panic"}`,
		"job=x":                 `{"error":"parameter \"job\": it must be an id, a whole number from 1"}`,
		"limit=501":             `{"error":"parameter \"limit\": it must be a whole number from 1 to 500"}`,
		"cursor=x":              `{"error":"parameter \"cursor\": it must be the \"next\" of an earlier answer"}`,
		"since=yesterday":       `{"error":"parameter \"since\": it must be a duration like 2h or 7d, or a time like 2026-12-24T18:00:00Z"}`,
		"projct=a":              `{"error":"parameter \"projct\" is unknown: there are result, project, pipeline, job, since, limit, cursor"}`,
		"pipeline=1&pipeline=2": `{"error":"parameter \"pipeline\" is given 2 times: give it once"}`,
	} {
		if code, answer := r.get(t, "/api/v1/deliveries?"+query); code != http.StatusBadRequest || answer != want {
			t.Errorf("%s: answer is %d %s, want 400 %s", query, code, answer, want)
		}
	}
	r.deliveries.err = errors.New("no answer")
	if code, _ := r.get(t, "/api/v1/deliveries"); code != http.StatusServiceUnavailable {
		t.Errorf("without an answer of those who keep them: %d, want 503", code)
	}
}
