package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/store/bolt"
)

// TestRetention: a decision of 60 days ago is there as long as --journal-retention says,
// whatever command had the store open meanwhile, and reports say how far back they go.
func TestRetention(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	path := filepath.Join(env.dir, "pipesteward.db")
	db, err := bolt.Open(path, bolt.Options{Now: func() time.Time { return time.Now().AddDate(0, 0, -60) }})
	if err == nil {
		err = errors.Join(db.Note(t.Context(), "old", []byte(`{"id": "old", "rule": "retry-stuck", "result": "done"}`)), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	command, err := app.OpenStore(t.Context(), "bolt:"+path, app.Longest(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		err = errors.Join(err, command.Note(t.Context(), fmt.Sprint("new-", i), []byte(`{}`)))
	}
	if err := errors.Join(err, command.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"--journal-retention", "90d"}, 21, "it keeps decisions for 90d"},
		{nil, 20, "it keeps decisions for 30d"},
		{[]string{"--journal-retention", "7d"}, 20, "it keeps decisions for 1w"},
	} {
		p := env.run(c.args...)
		if n := len(p.outcomes()); n != c.want {
			t.Errorf("%q: %d decisions, want %d", c.args, n, c.want)
		}
		if report := p.wants([]string{"report", "--since", "80d"}); !strings.Contains(report, c.says) {
			t.Errorf("%q: the report lacks %q:\n%s", c.args, c.says, report)
		}
		p.stop()
	}
}

// TestCompactedAtStart: serve gives back the space of a file that is mostly free, says so, and
// has it in its metrics.
func TestCompactedAtStart(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	path := filepath.Join(env.dir, "pipesteward.db")
	db, err := bolt.Open(path, bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for i := range 100 {
		err = errors.Join(err, db.Append(t.Context(), "log", strconv.Itoa(i), block, 200))
	}
	err = errors.Join(err, db.Ping(t.Context()), db.Append(t.Context(), "log", "last", nil, 1), db.Note(t.Context(), "kept", []byte(`{"id": "kept", "result": "done"}`)), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	p := env.run()
	after, err := os.Stat(path)
	if err != nil || after.Size() > before.Size()/2 {
		t.Errorf("%d bytes, before %d, %v", after.Size(), before.Size(), err)
	}
	if all := p.outcomes(); len(all) != 1 {
		t.Errorf("%d decisions, want the one that was there", len(all))
	}
	if log := p.logged(); !strings.Contains(log, `"msg":"the store's file was compacted"`) || !strings.Contains(log, fmt.Sprintf(`"bytes_before":%d`, before.Size())) {
		t.Errorf("the log does not say so:\n%s", p.tail())
	}
	if _, metrics := p.get("/metrics"); !strings.Contains(metrics, "\npipesteward_store_file_bytes ") || !strings.Contains(metrics, "\npipesteward_store_file_free_bytes ") {
		t.Error("/metrics lacks the sizes of the file")
	}
}
