package background_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(storetest.InMemory(m)) }

// newReplicas returns the same task on two replicas, which run until the test ends or stop is
// called.
func newReplicas(t *testing.T) (here, there *background.Task[string], stop func()) {
	t.Helper()
	db, err := bolt.Open(t.TempDir()+"/test.db", bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	made := func() *background.Task[string] {
		task := background.New[string](background.Keys{Claim: "work", Last: "work", Running: "work:running"}, db, time.Now, slog.New(slog.DiscardHandler))
		running.Go(func() { task.Run(ctx) })
		return task
	}
	here, there = made(), made()
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(func() { stop(); _ = db.Close() })
	return here, there, stop
}

// ended waits until a task has a last run by somebody.
func ended(t *testing.T, task *background.Task[string], by string) (last background.Run[string]) {
	t.Helper()
	await.Until(t, "the run by "+by+" has ended", func() bool {
		var ok bool
		var err error
		if last, ok, err = task.Last(t.Context()); err != nil {
			t.Fatal(err)
		}
		running, err := task.Running(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok && last.By == by && running == nil
	})
	return last
}

// TestTask: what one replica does in the background, others see and do not begin as well, and
// its end leaves what it found for the next run.
func TestTask(t *testing.T) {
	here, there, _ := newReplicas(t)
	if _, ok, err := there.Last(t.Context()); ok || err != nil {
		t.Errorf("before the first run, there is one: %v", err)
	}
	goOn := make(chan struct{})
	work := func(_ context.Context, last string, progress func(done, of int)) (string, error) {
		progress(2, 5)
		<-goOn
		return last + "found ", nil
	}
	if err := here.Start(t.Context(), "ada", work); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the progress is seen", func() bool {
		running, err := there.Running(t.Context())
		return err == nil && running != nil && running.By == "ada" && running.Done == 2 && running.Of == 5
	})
	var busy *event.StateError
	for name, begin := range map[string]func() error{
		"again":                 func() error { return here.Start(t.Context(), "bob", work) },
		"on another replica":    func() error { return there.Start(t.Context(), "bob", work) },
		"by the server":         func() error { return here.Do(t.Context(), work) },
		"by the other's server": func() error { return there.Do(t.Context(), work) },
	} {
		if err := begin(); !errors.As(err, &busy) {
			t.Errorf("%s: %v, want that it is under way", name, err)
		}
	}
	close(goOn)
	if last := ended(t, there, "ada"); last.Found != "found " || last.Error != "" || last.Ended.Before(last.Began) {
		t.Errorf("the last run is %+v", last)
	}
	if err := there.Do(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	if last := ended(t, here, ""); last.Found != "found found " {
		t.Errorf("after the next one, the last run is %+v", last)
	}
}

// TestEarlyEnd: a run that fails, or whose server stops, says why, and keeps what it found.
func TestEarlyEnd(t *testing.T) {
	here, _, stop := newReplicas(t)
	failing := func(context.Context, string, func(int, int)) (string, error) {
		return "half", errors.New("GitLab is away")
	}
	if err := here.Start(t.Context(), "ada", failing); err != nil {
		t.Fatal(err)
	}
	if last := ended(t, here, "ada"); last.Found != "half" || last.Error != "GitLab is away" {
		t.Errorf("the last run is %+v", last)
	}
	began := make(chan struct{})
	waiting := func(ctx context.Context, _ string, _ func(int, int)) (string, error) {
		close(began)
		<-ctx.Done()
		return "some", ctx.Err()
	}
	if err := here.Start(t.Context(), "bob", waiting); err != nil {
		t.Fatal(err)
	}
	<-began
	stop()
	if last := ended(t, here, "bob"); last.Found != "some" || !strings.Contains(last.Error, "the server stopped") {
		t.Errorf("the last run is %+v", last)
	}
}

// cut is a store that a replica can't reach while away is set.
type cut struct {
	store.Store
	away atomic.Bool
}

func (c *cut) Claim(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	if c.away.Load() {
		return false, errors.New("the store is away")
	}
	return c.Store.Claim(ctx, key, owner, ttl)
}

// TestTakenOver: a replica that could not reach the store for so long that another one has
// begun the same stops, and leaves alone what that one shows and finds.
func TestTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(t.TempDir()+"/test.db", bolt.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		reach := &cut{Store: db}
		task := func(s background.Store) *background.Task[string] {
			return background.New[string](background.Keys{Claim: "work", Last: "work", Running: "work:running"}, s, time.Now, slog.New(slog.DiscardHandler))
		}
		here, there := task(reach), task(db)
		var both sync.WaitGroup
		both.Go(func() {
			err := here.Do(t.Context(), func(ctx context.Context, _ string, _ func(int, int)) (string, error) {
				<-ctx.Done()
				return "of here", ctx.Err()
			})
			if err == nil {
				t.Error("the run that was taken over has no error")
			}
		})
		synctest.Wait()
		reach.away.Store(true)
		time.Sleep(2 * time.Minute)
		goOn := make(chan struct{})
		both.Go(func() {
			if err := there.Do(t.Context(), func(context.Context, string, func(int, int)) (string, error) {
				<-goOn
				return "of there", nil
			}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		reach.away.Store(false)
		time.Sleep(time.Minute + time.Millisecond)
		if last, ok, err := there.Last(t.Context()); ok || err != nil {
			t.Errorf("while there runs, what was found last is %+v (%v)", last, err)
		}
		if running, err := there.Running(t.Context()); running == nil || err != nil {
			t.Errorf("the run there is not shown (%v)", err)
		}
		close(goOn)
		both.Wait()
		if last, _, err := there.Last(t.Context()); last.Found != "of there" || err != nil {
			t.Errorf("in the end, what was found last is %+v (%v)", last, err)
		}
	})
}
