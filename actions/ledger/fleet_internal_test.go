package ledger

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// pair is a job that fails with a class, in a simulated fleet.
type pair struct {
	label
	project int
	passes  float64 // of its retries
	minutes float64 // that a run takes
}

// fleet is 40 pairs in 4 projects, whose retries either hardly pass or mostly do.
func fleet(random *rand.Rand) []pair {
	var all []pair
	for i := range 40 {
		p := pair{label: label{"r", []string{"runner", "stuck"}[i/2%2], fmt.Sprint("job ", i)}, project: i % 4, passes: 0.03 * random.Float64(), minutes: 5 + 20*random.Float64()}
		if i%2 == 0 {
			p.passes = 1 - p.passes
		}
		all = append(all, p)
	}
	return all
}

// outcomes are what the retries of a fleet came to.
type outcomes struct {
	passed, failed int
	wasted         float64 // minutes of the runs that failed
}

func (o *outcomes) count(passed bool, minutes float64) {
	if passed {
		o.passed++
		return
	}
	o.failed++
	o.wasted += minutes
}

// simulateFleet has each pair fail every 2 hours for two weeks, with at most two retries for
// each failure; two pairs change on day 8. It returns what came of all retries, and of those
// of the last day.
func simulateFleet(seed uint64, rate float64) (all, last outcomes) {
	random := rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed))))
	pairs, projects, classes := fleet(random), map[int]leaves{}, map[string]leaves{}
	start, run := noon, 0
	for now := start; now.Before(start.Add(halfLife)); now = now.Add(simulatedEvery) {
		if day := now.Sub(start) / (24 * time.Hour); day == 7 && now.Sub(start)%(24*time.Hour) == 0 {
			pairs[10].passes, pairs[11].passes = pairs[11].passes, pairs[10].passes
		}
		for _, p := range pairs {
			for range 2 {
				run++
				s := statistics{project: value{leaves: projects[p.project]}, class: value{leaves: classes[p.Class]}}
				v := s.judge(p.label, fmt.Sprintf("retry:https://gitlab.example.com:%d:%d:failed", p.project, run), rate, now)
				if v.Low && !v.Probe {
					break
				}
				passed := random.Float64() < p.passes
				s.learn(p.label, passed, rate, now, now)
				projects[p.project], classes[p.Class] = s.project.leaves, s.class.leaves
				all.count(passed, p.minutes)
				if now.Sub(start) >= halfLife-24*time.Hour {
					last.count(passed, p.minutes)
				}
				if passed {
					break
				}
			}
		}
	}
	return all, last
}

// After two weeks, nearly all retries of a fleet pass, and they have wasted less than half of
// what they would have without `min_pass_rate`: over 20 fleets. On the last day of one fleet,
// some 240 retries pass and 18 fail: 10 of these are probes, 3 are of pairs that mostly pass,
// and the others of pairs that have changed, or that a probe which happened to pass has brought
// back. By chance, in one fleet of ten so many fail that under 90 % pass.
func TestFleet(t *testing.T) {
	await.Long(t, "it simulates weeks of retries")
	await.Unraced(t, "it computes, in one goroutine")
	t.Parallel()
	var passed, failed, below int
	for seed := range uint64(20) {
		all, last := simulateFleet(seed, 0.2)
		fixed, _ := simulateFleet(seed, 0)
		if all.wasted > fixed.wasted/2 {
			t.Errorf("seed %d: %.0f minutes are wasted, want at most half of %.0f", seed, all.wasted, fixed.wasted)
		}
		passed, failed = passed+last.passed, failed+last.failed
		if share(last.passed, last.failed) < 90 {
			below++
		}
		t.Logf("seed %d: %.1f %% of the retries pass in the end; %.0f minutes are wasted instead of %.0f", seed, share(last.passed, last.failed), all.wasted, fixed.wasted)
	}
	if share(passed, failed) < 90 {
		t.Errorf("%.1f %% of the retries pass in the end, want 90 %%", share(passed, failed))
	}
	if below > 4 {
		t.Errorf("in %d of 20 fleets under 90 %% of the retries pass in the end, want 4 at most", below)
	}
	t.Logf("all: %.1f %% pass in the end, and under 90 %% in %d of 20 fleets", share(passed, failed), below)
}

// share returns the percentage of those that passed.
func share(passed, failed int) float64 { return 100 * float64(passed) / float64(passed+failed) }
