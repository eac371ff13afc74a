package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pipesteward/pipesteward/store/redistest"
)

// TestOutageIsLoggedOnce: while the store is away, the log has one line for all
// deliveries that are refused, and one for the queue.
func TestOutageIsLoggedOnce(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	env := newEnvironment(t)
	f := env.serveFleet(1, redis.URL())
	redis.Kill()
	var sending sync.WaitGroup
	for range 30 {
		d := env.newDelivery()
		sending.Go(func() {
			if code, err := f.send(t.Context(), d.key, f.body(d)); code != http.StatusInternalServerError {
				t.Errorf("answered with %d (%v), want 500", code, err)
			}
		})
	}
	sending.Wait()
	// The log comes through a pipe, and may be later than the responses.
	f.replica(0).eventually("the log says that events were not stored", func() bool {
		return strings.Contains(f.replica(0).logged(), `"msg":"event not stored`)
	})
	log := f.replica(0).logged()
	for _, message := range []string{`"msg":"event not stored`, `"msg":"the queue can't be read`} {
		// One line at once, and then one for each minute that this takes.
		lines := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, message) && !strings.Contains(line, `"repeated":`) {
				lines++
			}
		}
		if lines > 1 {
			t.Errorf("%d lines with %s, want one", lines, message)
		}
	}
}
