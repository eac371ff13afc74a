package event

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestHistoryIsBounded(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var deferrals []Deferral
	var calls []Call
	long := strings.Repeat("é", 1000)
	for i := range 100 {
		at := start.Add(time.Duration(i) * time.Minute)
		deferrals = AddDeferral(deferrals, Deferral{Reason: fmt.Sprint(i/2, long), Since: at, Until: at.Add(time.Second)})
		calls = AddCall(calls, Call{At: at, Error: fmt.Sprint(i, long)})
	}
	if len(deferrals) != 10 || len(calls) != 10 {
		t.Fatalf("%d deferrals and %d calls, want 10 of each", len(deferrals), len(calls))
	}
	last := deferrals[9]
	if !strings.HasPrefix(last.Reason, "49é") || last.Times != 2 || !last.Since.Equal(start.Add(98*time.Minute)) || !last.Until.Equal(start.Add(99*time.Minute+time.Second)) {
		t.Errorf("the last deferral is %+v, want the last reason, twice", last)
	}
	for _, text := range []string{last.Reason, calls[9].Error} {
		if len(text) > 510 || !utf8.ValidString(text) || !strings.HasSuffix(text, "…") {
			t.Errorf("%d bytes, %.20q, want a text that was shortened", len(text), text)
		}
	}
	if !strings.HasPrefix(calls[9].Error, "99é") {
		t.Errorf("the last call is %.20q", calls[9].Error)
	}
	one := AddCall(nil, Call{Error: "short"})
	if two := AddCall(one, Call{}); len(one) != 1 || len(two) != 2 || two[0].Error != "short" {
		t.Errorf("%v after %v", two, one)
	}
}
