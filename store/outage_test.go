package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/store"
)

// TestQuietOutages: the lines of an outage are logged once and then counted,
// each minute; all others as they come.
func TestQuietOutages(t *testing.T) {
	var out bytes.Buffer
	quiet := store.QuietOutages(slog.NewTextHandler(&out, nil)).WithAttrs([]slog.Attr{slog.String("replica", "a")})
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	log := func(after time.Duration, message string, err any) {
		t.Helper()
		r := slog.NewRecord(begin.Add(after), slog.LevelError, message, 0)
		switch err := err.(type) {
		case slog.Attr:
			r.AddAttrs(err)
		case error:
			r.AddAttrs(slog.Any("error", err))
		}
		if err := quiet.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	away := func(i int) slog.Attr { return store.Outage(fmt.Errorf("port %d: no route", i)) }
	for i := range 300 { // for two and a half minutes
		log(time.Duration(i)*time.Second/2, "event not stored", away(i))
		if i%100 == 0 {
			log(time.Duration(i)*time.Second/2, "the queue can't be read", away(i))
		}
	}
	log(151*time.Second, "a rule failed", errors.New("no rights"))
	log(151*time.Second, "a rule failed", errors.New("no rights"))
	log(200*time.Second, "serving", nil) // and all that is left to count
	log(300*time.Second, "serving", nil)
	log(301*time.Second, "event not stored", away(1)) // another outage
	got := strings.ReplaceAll(strings.ReplaceAll(out.String(), "level=ERROR ", ""), "replica=a", "")
	want := `time=2026-11-01T12:00:00.000Z msg="event not stored"  error="port 0: no route"
time=2026-11-01T12:00:00.000Z msg="the queue can't be read"  error="port 0: no route"
time=2026-11-01T12:00:50.000Z msg="the queue can't be read"  error="port 100: no route" repeated=1
time=2026-11-01T12:00:59.500Z msg="event not stored"  error="port 119: no route" repeated=119
time=2026-11-01T12:01:40.000Z msg="the queue can't be read"  error="port 200: no route" repeated=1
time=2026-11-01T12:01:59.500Z msg="event not stored"  error="port 239: no route" repeated=120
time=2026-11-01T12:02:31.000Z msg="a rule failed"  error="no rights"
time=2026-11-01T12:02:31.000Z msg="a rule failed"  error="no rights"
time=2026-11-01T12:02:29.500Z msg="event not stored"  error="port 299: no route" repeated=60
time=2026-11-01T12:03:20.000Z msg=serving 
time=2026-11-01T12:05:00.000Z msg=serving 
time=2026-11-01T12:05:01.000Z msg="event not stored"  error="port 1: no route"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
