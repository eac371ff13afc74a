package catchup_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// run runs it until the test ends, or stop is called.
func runOnDemand(t *testing.T, d *catchup.OnDemand) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// ended waits for the end of the last round.
func ended(t *testing.T, d *catchup.OnDemand) (last event.CatchUp) {
	t.Helper()
	await.Until(t, "the round has ended", func() bool {
		round, err := d.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if round != nil {
			last = *round
		}
		return !last.Ended.IsZero()
	})
	return last
}

// TestOnDemand: a requested round queues what was missed, and every replica knows what it
// found; another one may begin on no replica before it has ended.
func TestOnDemand(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	history := &pausedHistory{Client: o.client, arrived: make(chan struct{}), goOn: make(chan struct{})}
	here, there := catchup.NewOnDemand(o.newCatchUp(history)), catchup.NewOnDemand(o.newCatchUp(o.client))
	runOnDemand(t, here)
	runOnDemand(t, there)
	if last, err := here.Last(t.Context()); last != nil || err != nil {
		t.Fatalf("before the first, the last round is %+v, %v", last, err)
	}

	begun, err := here.Start(t.Context(), event.CatchUp{By: "ada", DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	<-history.arrived
	for name, replica := range map[string]*catchup.OnDemand{"this replica": here, "another replica": there} {
		if _, err := replica.Start(t.Context(), event.CatchUp{}); !errors.As(err, new(*event.StateError)) {
			t.Errorf("a second round on %s: %v, want a StateError", name, err)
		}
		last, err := replica.Last(t.Context())
		if err != nil || last == nil || last.ID != begun.ID || !last.Ended.IsZero() {
			t.Errorf("%s says that the last round is %+v, %v; it is under way", name, last, err)
		}
	}
	if _, err := o.newCatchUp(o.client).Round(t.Context(), true); !errors.Is(err, catchup.ErrRunning) {
		t.Errorf("a round of a timer: %v, want ErrRunning", err)
	}
	close(history.goOn)
	last := ended(t, there)
	if last.ID != begun.ID || last.By != "ada" || last.Error != "" || last.Found.Projects == 0 {
		t.Errorf("the last round is %+v", last)
	}
	if _, err := there.Start(t.Context(), event.CatchUp{}); err != nil {
		t.Errorf("after the first: %v", err)
	}
	await.Until(t, "the second has ended", func() bool {
		last, err := there.Last(t.Context())
		return err == nil && last.ID != begun.ID && !last.Ended.IsZero()
	})
}

// TestOnDemandSince: a request reaches back as far as decisions are remembered, and no
// further.
func TestOnDemandSince(t *testing.T) {
	o := newOutage(t)
	d := catchup.NewOnDemand(o.newCatchUp(o.client))
	runOnDemand(t, d)
	now, maxAge := o.clock.Now(), 24*time.Hour // as newCatchUp has it
	for _, c := range []struct {
		name  string
		since time.Time
		says  string // "": it begins
	}{
		{"in the future", now.Add(time.Hour), "is in the future"},
		{"too far back", now.Add(-maxAge - time.Hour), "is before "},
		{"as far as is allowed, some seconds ago", now.Add(-maxAge - 5*time.Second), ""},
	} {
		begun, err := d.Start(t.Context(), event.CatchUp{Since: c.since})
		switch refused := (*event.RequestError)(nil); {
		case c.says != "":
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.says) {
				t.Errorf("%s: %v, want a RequestError that it %s", c.name, err, c.says)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case begun.Since.Before(now.Add(-maxAge)):
			t.Errorf("%s: it reaches back to %s, further than %s", c.name, begun.Since, maxAge)
		}
	}
	ended(t, d)
}

// TestOnDemandWhenTheServerStops: a round that is cut short says so.
func TestOnDemandWhenTheServerStops(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	history := &unanswered{Client: o.client, arrived: make(chan struct{})}
	d := catchup.NewOnDemand(o.newCatchUp(history))
	stop := runOnDemand(t, d)
	if _, err := d.Start(t.Context(), event.CatchUp{}); err != nil {
		t.Fatal(err)
	}
	<-history.arrived
	stop()
	if last := ended(t, d); !strings.Contains(last.Error, "the server stopped") {
		t.Errorf("the last round is %+v", last)
	}
}

// unanswered does not answer until the request is given up.
type unanswered struct {
	*gitlab.Client
	arrived chan struct{}
	once    sync.Once
}

func (u *unanswered) PipelinesSince(ctx context.Context, _ int64, _ time.Time, _ ...string) ([]gitlab.UpdatedPipeline, error) {
	u.once.Do(func() { close(u.arrived) })
	<-ctx.Done()
	return nil, ctx.Err()
}
