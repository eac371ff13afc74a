package gitlab_test

import (
	"bytes"
	"net/http"
	"os"
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

// BenchmarkLog reads a log of 10 MB over HTTP and holds its last MB.
func BenchmarkLog(b *testing.B) {
	log := bytes.Repeat([]byte("a line of the log, as long as most of them are\n"), 10_000_000/47)
	c, _ := newClient(b, serve(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(log)))
		_, _ = w.Write(log)
	}))
	b.SetBytes(int64(len(log)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Log(b.Context(), 1, 7); err != nil {
			b.Fatal(err)
		}
	}
}
