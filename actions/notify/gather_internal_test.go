package notify

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TestGathered: from which message on notices are gathered.
func TestGathered(t *testing.T) {
	t.Parallel()
	five := event.Group{Burst: 5, Wait: event.Duration(time.Second), Interval: event.Duration(time.Minute)}
	for _, test := range []struct {
		name    string
		group   event.Group
		traffic traffic
		want    bool
	}{
		{"the first", five, traffic{position: 1}, false},
		{"the last of a burst", five, traffic{position: 5}, false},
		{"one more", five, traffic{position: 6}, true},
		{"to a message that there is", five, traffic{position: 6, begun: true}, false},
		{"few after quiet hours", five, traffic{position: 1, waited: 5}, false},
		{"many after quiet hours", five, traffic{position: 1, waited: 6}, true},
		{"missed by its digest", five, traffic{position: 1, missed: true}, true},
		{"missed, and there is its message now", five, traffic{missed: true, begun: true}, false},
		{"turned off", event.Group{}, traffic{position: 100, waited: 100, missed: true}, false},
	} {
		if got := gathered(test.group, test.traffic); got != test.want {
			t.Errorf("%s: gathered %t, want %t", test.name, got, test.want)
		}
	}
}

// TestDigestLook: the interval first, and at last ten minutes or the interval.
func TestDigestLook(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]time.Duration{
		{time.Minute, 0, time.Minute}, {time.Minute, time.Hour, 6 * time.Minute}, {time.Minute, 24 * time.Hour, 10 * time.Minute}, {time.Hour, 24 * time.Hour, time.Hour},
	} {
		if got := digestLook(event.Duration(c[0]), c[1]); got != c[2] {
			t.Errorf("interval %v, age %v: %v, want %v", c[0], c[1], got, c[2])
		}
	}
}
