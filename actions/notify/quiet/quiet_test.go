package quiet_test

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/notify/quiet"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestUntil: over midnight, on some days, and where clocks are put forward and back.
func TestUntil(t *testing.T) {
	t.Parallel()
	night := event.Quiet{From: "20:00", To: "07:00", Timezone: "Europe/Berlin"}
	noon := event.Quiet{From: "12:00", To: "13:00", Timezone: "Europe/Berlin"}
	weekdays := night
	weekdays.Days = []string{"mon", "tue", "wed", "thu", "fri"}
	for _, test := range []struct {
		name  string
		quiet event.Quiet
		now   string // RFC 3339
		end   string // "": it is not quiet
	}{
		{"before", night, "2026-12-01T19:59:59+01:00", ""},
		{"begins", night, "2026-12-01T20:00:00+01:00", "2026-12-02T07:00:00+01:00"},
		{"before midnight", night, "2026-12-31T23:59:59+01:00", "2027-01-01T07:00:00+01:00"},
		{"after midnight", night, "2026-12-02T00:00:00+01:00", "2026-12-02T07:00:00+01:00"},
		{"ends", night, "2026-12-02T07:00:00+01:00", ""},
		{"in the day", noon, "2026-12-01T12:30:00+01:00", "2026-12-01T13:00:00+01:00"},
		{"the day ends", noon, "2026-12-01T13:00:00+01:00", ""},
		{"in another time zone", night, "2026-12-01T19:30:00Z", "2026-12-02T06:00:00Z"},
		{"on Friday night", weekdays, "2026-12-05T03:00:00+01:00", "2026-12-05T07:00:00+01:00"},
		{"on Saturday night", weekdays, "2026-12-05T21:00:00+01:00", ""},
		{"after Sunday's midnight", weekdays, "2026-12-07T03:00:00+01:00", ""},
		{"on Monday night", weekdays, "2026-12-07T21:00:00+01:00", "2026-12-08T07:00:00+01:00"},

		{"clocks are put forward", night, "2026-03-28T20:00:00+01:00", "2026-03-29T07:00:00+02:00"},
		{"clocks are put back", night, "2026-10-24T20:00:00+02:00", "2026-10-25T07:00:00+01:00"},
		{"the end is skipped", event.Quiet{From: "20:00", To: "02:30", Timezone: "Europe/Berlin"}, "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"the skipped end is over", event.Quiet{From: "20:00", To: "02:30", Timezone: "Europe/Berlin"}, "2026-03-29T03:00:00+02:00", ""},
		{"the beginning is skipped", event.Quiet{From: "02:30", To: "07:00", Timezone: "Europe/Berlin"}, "2026-03-29T03:00:00+02:00", "2026-03-29T07:00:00+02:00"},
		{"west of Greenwich, the end is skipped", event.Quiet{From: "20:00", To: "02:30", Timezone: "America/New_York"}, "2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00"},
		{"the end comes twice", event.Quiet{From: "20:00", To: "02:30", Timezone: "Europe/Berlin"}, "2026-10-25T02:15:00+02:00", "2026-10-25T02:30:00+02:00"},
		{"the end came once", event.Quiet{From: "20:00", To: "02:30", Timezone: "Europe/Berlin"}, "2026-10-25T02:15:00+01:00", ""},
	} {
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if end := quiet.Until(test.quiet, now); !end.IsZero() {
			got = end.UTC().Format(time.RFC3339)
		}
		want := test.end
		if want != "" {
			end, err := time.Parse(time.RFC3339, want)
			if err != nil {
				t.Fatal(err)
			}
			want = end.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%s: at %s quiet until %q, want %q", test.name, test.now, got, want)
		}
	}
}
