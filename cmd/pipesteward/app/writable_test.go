package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestWritable: the status says that the store is full, and that it is no more, with one
// write each 10 seconds at most.
func TestWritable(t *testing.T) {
	var (
		now   = time.Unix(1000, 0)
		pings int
		ping  error
	)
	w := &writable{Now: func() time.Time { return now }, Ping: func(context.Context) error { pings++; return ping }}
	for _, c := range []struct {
		name     string
		after    time.Duration
		ping     error
		writable bool
		pings    int
	}{
		{"at first", 0, nil, true, 1},
		{"full, and not seen yet", 9 * time.Second, errors.New("no space left"), true, 1},
		{"full", time.Second, errors.New("no space left"), false, 2},
		{"still shown as full", 9 * time.Second, nil, false, 2},
		{"mended", time.Second, nil, true, 3},
	} {
		now, ping = now.Add(c.after), c.ping
		got := w.Status(t.Context())
		if got.Writable != c.writable || strings.Contains(got.Summary, "no space left") == c.writable || pings != c.pings {
			t.Errorf("%s: %+v after %d writes, want %t after %d", c.name, got, pings, c.writable, c.pings)
		}
	}
}
