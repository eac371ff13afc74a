package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/webhook"
)

// A sender without a token can't fill the log, and what the log leaves out is counted in it.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	now := clock()
	r := newRig(t, func(cfg *webhook.Config) { cfg.Now = func() time.Time { return now } })
	refused := func(n int) {
		t.Helper()
		for range n {
			if code, _ := r.post(t, []byte("{}")); code != http.StatusUnauthorized {
				t.Fatalf("code %d, want 401", code)
			}
		}
	}
	refused(100)
	if n := strings.Count(r.log.String(), "delivery refused"); n != 20 {
		t.Errorf("%d of 100 refusals at once have a line, want 20", n)
	}
	r.log.Reset()
	now = now.Add(10 * time.Second)
	refused(2)
	if log := r.log.String(); strings.Count(log, "delivery refused") != 1 || !strings.Contains(log, "unlogged=80") {
		t.Errorf("after 10 s: want one line that counts 80, got\n%s", log)
	}
}
