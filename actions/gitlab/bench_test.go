package gitlab_test

import (
	"bytes"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkProjectJobs reads pages of 100 jobs over HTTP.
func BenchmarkProjectJobs(b *testing.B) {
	job, err := os.ReadFile("testdata/job.json")
	if err != nil {
		b.Fatal(err)
	}
	page := "[" + strings.Repeat(string(job)+",", 99) + string(job) + "]"
	c, _ := newClient(b, serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) }))
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.ProjectJobs(b.Context(), 1) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLog reads logs over HTTP and keeps their last MB: what it allocates
// does not grow with the log.
func BenchmarkLog(b *testing.B) {
	for _, mb := range []int{1, 10, 100} {
		b.Run(strconv.Itoa(mb)+"MB", func(b *testing.B) {
			c, _ := newClient(b, serve(b, longLog(mb)))
			b.SetBytes(int64(mb) << 20)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Log(b.Context(), 1, 7); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// longLog serves a log without holding it.
func longLog(mb int) http.HandlerFunc {
	megabyte := bytes.Repeat([]byte("a line of the log, as long as most of them are.\n"), 1<<20/48+1)[:1<<20]
	return func(w http.ResponseWriter, _ *http.Request) {
		for range mb {
			_, _ = w.Write(megabyte)
		}
	}
}

// A log of 100 MB takes no more memory than the window that is kept of it,
// the copy that is given and some buffers.
func TestLogMemory(t *testing.T) {
	c, _ := newClient(t, serve(t, longLog(100)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	log, err := c.Log(t.Context(), 1, 7)
	runtime.ReadMemStats(&after)
	if err != nil || len(log.Text) != 1<<20 || !log.Cut {
		t.Errorf("%d bytes, cut %v: %v", len(log.Text), log.Cut, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("%d bytes were allocated on the way, want at most 16 MiB", took)
	}
}
