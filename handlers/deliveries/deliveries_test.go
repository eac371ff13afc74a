package deliveries_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/handlers/deliveries"
	"github.com/pipesteward/pipesteward/rules/event"
)

func all(*event.Delivery) bool { return true }

// TestStrangersDisplaceNobody: as many deliveries as anybody sends, those of GitLab stay.
func TestStrangersDisplaceNobody(t *testing.T) {
	log := deliveries.New(2, 3)
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	record := func(d event.Delivery) {
		at = at.Add(time.Second)
		d.At = at
		log.Record(d)
	}
	record(event.Delivery{Authenticated: true, Job: 1})
	record(event.Delivery{Authenticated: true, Job: 2})
	for i := range 1000 {
		record(event.Delivery{Job: int64(1000 + i)})
	}
	record(event.Delivery{Authenticated: true, Job: 3})
	if diff := cmp.Diff([]int64{3, 1999, 1998, 1997, 2}, jobs(t, log, all, 10)); diff != "" {
		t.Errorf("deliveries differ (- want, + got):\n%s", diff)
	}
}

// TestDeliveries compares a Log with a list of everything.
func TestDeliveries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := [2]int{rapid.IntRange(1, 4).Draw(t, "authenticated"), rapid.IntRange(1, 4).Draw(t, "others")}
		log := deliveries.New(sizes[0], sizes[1])
		var recorded []event.Delivery // newest first
		for i := range rapid.IntRange(0, 20).Draw(t, "deliveries") {
			d := event.Delivery{At: time.Unix(int64(i), 0), Job: int64(i), Authenticated: rapid.Bool().Draw(t, "is authenticated"), Code: rapid.SampledFrom([]int{200, 202}).Draw(t, "code")}
			log.Record(d)
			recorded = append([]event.Delivery{d}, recorded...)
		}
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		wanted := rapid.SampledFrom([]int{0, 200, 202}).Draw(t, "wanted")
		match := func(d *event.Delivery) bool { return wanted == 0 || wanted == d.Code }
		want, kept := []int64{}, [2]int{}
		for _, d := range recorded {
			kind := 0
			if !d.Authenticated {
				kind = 1
			}
			if kept[kind]++; kept[kind] <= sizes[kind] && match(&d) && len(want) < limit {
				want = append(want, d.Job)
			}
		}
		if diff := cmp.Diff(want, jobs(t, log, match, limit)); diff != "" {
			t.Errorf("deliveries differ (- want, + got):\n%s", diff)
		}
	})
}

// jobs lists the jobs of the deliveries.
func jobs(t rapid.TB, log *deliveries.Log, match func(*event.Delivery) bool, limit int) []int64 {
	ids := []int64{}
	list, _, err := log.Deliveries(context.Background(), match, time.Time{}, "", limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		ids = append(ids, d.Job)
	}
	return ids
}
