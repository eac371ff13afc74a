package audit_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m).Run()) }

func open(t *testing.T, clock *storetest.Clock, path string) store.Store {
	t.Helper()
	db, err := bolt.Open(path, bolt.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Changes are listed newest first, also after a restart.
func TestChanges(t *testing.T) {
	clock, path := storetest.NewClock(), t.TempDir()+"/test.db"
	db := open(t, clock, path)
	log := audit.Log{Store: db, Now: clock.Now}
	if all, err := log.List(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("changes %+v, %v, want none", all, err)
	}
	var want []event.Change
	for i, action := range []string{event.ChangePause, event.ChangeDrop} {
		c := event.Change{Action: action, Target: "target " + strconv.Itoa(i), By: "ann", From: "127.0.0.1", Reason: "why"}
		if err := log.Record(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		c.At = clock.Now()
		want = append([]event.Change{c}, want...)
		clock.Advance(time.Hour)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, clock, path)
	log.Store = db
	all, err := log.List(t.Context())
	if diff := cmp.Diff(want, all); diff != "" || err != nil {
		t.Errorf("%v, changes (-want +got):\n%s", err, diff)
	}
}

// The list is bounded, and so is each text; what can't be read is replaced.
func TestBounds(t *testing.T) {
	clock := storetest.NewClock()
	db := open(t, clock, t.TempDir()+"/test.db")
	log := audit.Log{Store: db, Now: clock.Now}
	if err := db.Set(t.Context(), "changes", []byte("no JSON"), time.Hour); err != nil {
		t.Fatal(err)
	}
	const more = 5
	for i := range audit.Capacity + more {
		c := event.Change{Action: event.ChangeDrop, Target: strconv.Itoa(i)}
		if i == audit.Capacity+more-1 {
			c.By = strings.Repeat("é", 5000)
		}
		if err := log.Record(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	all, err := log.List(t.Context())
	if err != nil || len(all) != audit.Capacity || all[0].Target != strconv.Itoa(audit.Capacity+more-1) || len(all[0].By) > 2000 {
		t.Errorf("%d changes, %v, the first %.100v", len(all), err, all[0])
	}
}

// Replicas record changes at the same time, and none is lost.
func TestContention(t *testing.T) {
	clock := storetest.NewClock()
	db := open(t, clock, t.TempDir()+"/test.db")
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if err := (audit.Log{Store: db, Now: clock.Now}).Record(t.Context(), event.Change{Action: event.ChangeReload, Target: strconv.Itoa(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := (audit.Log{Store: db, Now: clock.Now}).List(t.Context()); len(got) != 10 || err != nil {
		t.Errorf("%d changes, %v, want 10", len(got), err)
	}
}
