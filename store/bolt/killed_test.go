package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// childEnv makes the test binary putUntilKilled to the file it names.
const childEnv = "PIPESTEWARD_TEST_PUT_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		putUntilKilled(path)
	}
	if path := os.Getenv(leaseEnv); path != "" {
		leaseAndWait(path)
	}
	if path := os.Getenv(compactEnv); path != "" {
		compactAndExit(path)
	}
	goleak.VerifyTestMain(storetest.InMemory(m))
}

// TestBoltKilled kills a process that puts, again and again, and looks that
// every record is there whose Put had returned.
func TestBoltKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	acked := map[string]bool{}
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			acked[lines.Text()] = true
			if len(acked) == before+300 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || len(acked) < before+300 {
			t.Fatalf("the child ended by itself (%v) after %d puts", err, len(acked)-before)
		}
	}
	s := open(t, path, bolt.Options{Now: time.Now})
	leases, err := s.Lease(t.Context(), 1_000_000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if string(l.Body) != "body of "+l.ID {
			t.Errorf("record %s came back with the body %q", l.ID, l.Body)
		}
		delete(acked, l.ID)
	}
	if len(acked) > 0 {
		t.Errorf("%d records are lost whose Put had returned", len(acked))
	}
}

// putUntilKilled puts records from many goroutines and prints the id of each
// whose Put returned.
func putUntilKilled(path string) {
	s, err := bolt.Open(path, bolt.Options{Now: time.Now})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if _, err := s.Put(context.Background(), store.Record{ID: id, Body: []byte("body of " + id)}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(id)
			}
		})
	}
	wg.Wait()
}
