package limits

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TestCapacityTakesTurns lets one rule's evaluations form a long queue and
// those of two others short ones. Heavy slots must be granted to the rules in
// turn.
func TestCapacityTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCapacity()
		running := make([]*permit, heavySlots)
		for i := range running {
			running[i] = quick(t, c)
			heavy(t, running[i], "first")
		}
		var mu sync.Mutex
		var served []string
		for _, rule := range []string{"costly", "costly", "costly", "other", "third", "other"} {
			p := quick(t, c)
			go func() {
				heavy(t, p, rule)
				mu.Lock()
				served = append(served, rule)
				mu.Unlock()
				p.leave()
			}()
			synctest.Wait() // they wait in this order
		}
		if len(served) > 0 {
			t.Fatalf("served %v while all slots are taken", served)
		}
		running[0].leave()
		synctest.Wait()
		if want := []string{"costly", "other", "third", "costly", "other", "costly"}; !slices.Equal(served, want) {
			t.Errorf("served %v, want %v", served, want)
		}
		running[1].leave()
		wantFree(t, c)
	})
}

// TestCapacityRefusesALongQueue checks that few evaluations wait, because each
// of them keeps memory, and that one rule can't take all places.
func TestCapacityRefusesALongQueue(t *testing.T) {
	for _, test := range []struct {
		name string
		rule func(i int) string
		want int // evaluations that wait
	}{
		{"of the same rule", func(int) string { return "costly" }, maxSameRule},
		{"of many rules", func(i int) string { return fmt.Sprintf("costly-%d", i) }, maxWaiting},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewCapacity()
				ctx, cancel := context.WithCancel(t.Context())
				var running []*permit
				for range heavySlots {
					p := quick(t, c)
					heavy(t, p, "first")
					running = append(running, p)
				}
				waiting := 0
				for i := range quickSlots + maxWaiting {
					p := quick(t, c)
					var err error
					ended := false
					go func() {
						err = p.escalate(ctx, test.rule(i))
						ended = true
						p.leave()
					}()
					synctest.Wait()
					switch {
					case !ended:
						waiting++
					case !event.Transient(err):
						t.Errorf("evaluation %d was refused with %v, want an error that passes", i, err)
					}
				}
				if waiting != test.want {
					t.Errorf("%d evaluations wait, want %d", waiting, test.want)
				}
				cancel() // the process stops
				synctest.Wait()
				for _, p := range running {
					p.leave()
				}
				wantFree(t, c)
			})
		})
	}
}

// TestCapacityLeavesSlotsWhileGitLabAnswers checks that evaluations that wait
// for GitLab occupy no slot, and that the number of logs is limited.
func TestCapacityLeavesSlotsWhileGitLabAnswers(t *testing.T) {
	for _, kind := range []slot{quickSlot, heavySlot} {
		synctest.Test(t, func(t *testing.T) {
			c := NewCapacity()
			answer := make(chan struct{})
			var requests sync.WaitGroup
			for range 10 * (quickSlots + heavySlots) {
				p := quick(t, c)
				if kind == heavySlot {
					heavy(t, p, "costly")
				}
				requests.Go(func() {
					defer p.leave()
					err := p.without(t.Context(), "costly", func() { <-answer })
					if err != nil || p.slot != kind {
						t.Errorf("after the answer: %v and slot %d, want slot %d", err, p.slot, kind)
					}
				})
				synctest.Wait()
			}
			close(answer)
			requests.Wait()
			wantFree(t, c)
		})
	}
}

// quick begins an evaluation.
func quick(t *testing.T, c *Capacity) *permit {
	t.Helper()
	p, err := c.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// heavy makes an evaluation continue as a heavy one.
func heavy(t *testing.T, p *permit, rule string) {
	t.Helper()
	if err := p.escalate(t.Context(), rule); err != nil {
		t.Errorf("rule %s: %v", rule, err)
	}
}

// wantFree checks that no capacity is in use.
func wantFree(t *testing.T, c *Capacity) {
	t.Helper()
	synctest.Wait()
	if len(c.quick) != 0 || len(c.logs) != 0 || c.heavy != heavySlots || len(c.waiting) != 0 || len(c.turns) != 0 {
		t.Errorf("in use at the end: %d quick slots, %d logs, %d of %d heavy slots; waiting %v, turns %v",
			len(c.quick), len(c.logs), heavySlots-c.heavy, heavySlots, c.waiting, c.turns)
	}
}
