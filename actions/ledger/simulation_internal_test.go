package ledger

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// The simulated runs: a job that fails every 2 hours by day and night, for 60 days, so that
// 720 retries are decided on in each run.
const (
	simulatedSets    = 3
	simulatedRuns    = 1000 // of each set
	simulatedRetries = 720
	simulatedEvery   = 2 * time.Hour
)

// simulated is the ledger of one job whose retries pass with a rate that only the test knows.
type simulated struct {
	statistics
	label
	random *rand.Rand
	now    time.Time
	failed int // runs that failed so far

	tries, probes int
}

func simulate(seed uint64) *simulated {
	return &simulated{label: label{"r", "runner", "rspec"}, random: rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))), now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
}

// fail has the job fail once, and retries it unless that is not worth it.
func (s *simulated) fail(passes float64) (skipped bool) {
	s.failed++
	s.now = s.now.Add(simulatedEvery)
	v := s.judge(s.label, fmt.Sprintf("retry:https://gitlab.example.com:7:%d:failed", 10_000+3*s.failed), 0.2, s.now)
	if v.Low && !v.Probe {
		return true
	}
	if v.Probe {
		s.probes++
	}
	s.tries++
	s.learn(s.label, s.random.Float64() < passes, 0.2, s.now, s.now)
	return false
}

// runs simulates a set of runs with a rate, and returns after how many tries each stopped first; those
// that did not are missing.
func runs(set int, passes float64) (stoppedAfter []int) {
	for seed := range simulatedRuns {
		s := simulate(uint64(set*simulatedRuns + seed))
		for range simulatedRetries {
			if s.fail(passes) {
				stoppedAfter = append(stoppedAfter, s.tries)
				break
			}
		}
	}
	slices.Sort(stoppedAfter)
	return stoppedAfter
}

// Retries that hardly pass are soon stopped, and no others. That 13 retries in a row fail, by
// which those that hardly pass are stopped, has a probability of 1 % where 30 % pass.
func TestSimulatedRates(t *testing.T) {
	await.Long(t, "it simulates months of retries")
	await.Unraced(t, "it computes, in one goroutine")
	t.Parallel()
	for set := range simulatedSets {
		t.Run(fmt.Sprint("set ", set), func(t *testing.T) {
			t.Parallel()
			hopeless := runs(set, 0.02)
			if len(hopeless) != simulatedRuns {
				t.Errorf("of %d runs at 2 %%, %d stopped: want all", simulatedRuns, len(hopeless))
			}
			if median := hopeless[len(hopeless)/2]; median != 13 {
				t.Errorf("at 2 %%, the median of the tries before the stop is %d, want 13", median)
			}
			wrong := len(runs(set, 0.3))
			if wrong >= simulatedRuns*2/100 {
				t.Errorf("of %d runs at 30 %%, %d stopped: want under 2 %%", simulatedRuns, wrong)
			}
			if half := runs(set, 0.5); len(half) > 0 {
				t.Errorf("of %d runs at 50 %%, %d stopped, after %v tries: want none", simulatedRuns, len(half), half)
			}
			t.Logf("at 2 %% stopped after %d to %d tries; at 30 %% %d of %d stopped", hopeless[0], hopeless[len(hopeless)-1], wrong, simulatedRuns)
		})
	}
}

// A job whose retries pass again comes back within 40 probes, however long it was stopped.
func TestSimulatedChange(t *testing.T) {
	await.Long(t, "it simulates months of retries")
	await.Unraced(t, "it computes, in one goroutine")
	t.Parallel()
	for _, stopped := range []int{50, 2000} { // a job remembers 52 tries
		for _, after := range []float64{0.5, 0.8, 1} {
			most := 0
			for seed := range simulatedRuns / 20 {
				s := simulate(uint64(seed))
				for range stopped {
					s.fail(0.02)
				}
				s.probes = 0
				for range 100_000 {
					s.fail(after)
					if own := s.project.find(s.label); !own.Low {
						break
					}
				}
				most = max(most, s.probes)
			}
			t.Logf("%d failures at 2 %%, then %.0f %%: back after %d probes at most", stopped, 100*after, most)
			if most > 40 {
				t.Errorf("%d failures at 2 %%, then %.0f %%: back after %d probes at most, want 40", stopped, 100*after, most)
			}
		}
	}
}

// manyJobs are jobs of one project, each of which fails once a day for 28 days.
type manyJobs struct {
	jobs   int
	names  int // how many keep their name: the others have a new one each day
	passes func(job int) bool
}

// simulate returns how many of the retries of jobs that pass, and of those that don't, were
// made and skipped.
func (m manyJobs) simulate(rate float64) (made, skipped map[bool]int) {
	made, skipped = map[bool]int{}, map[bool]int{}
	random := rand.New(rand.NewChaCha8(sha256.Sum256([]byte("many jobs"))))
	project, class := [parts]leaves{}, leaves{}
	for day := range 28 {
		for _, job := range random.Perm(m.jobs) {
			of := label{"r", "runner", fmt.Sprint("job ", job)}
			if job >= m.names {
				of.Job += fmt.Sprint(" of day ", day)
			}
			now := noon.Add(time.Duration(day) * 24 * time.Hour)
			s := statistics{project: value{leaves: project[of.part()]}, class: value{leaves: class}}
			passes := m.passes(job)
			if v := s.judge(of, fmt.Sprintf("retry:https://gitlab.example.com:7:%d:failed", 100_000*day+job), rate, now); v.Low && !v.Probe {
				skipped[passes]++
				continue
			}
			made[passes]++
			s.learn(of, passes, rate, now, now)
			s.learn(label{"", of.Class, of.Job}, passes, 0, now, now) // GitLab's own retry before
			project[of.part()], class = s.project.leaves, s.class.leaves
		}
	}
	return made, skipped
}

// However many jobs of a project fail, most retries that never pass are skipped, and of jobs
// with statistics of their own none that pass.
func TestSimulatedManyJobs(t *testing.T) {
	await.Long(t, "it simulates weeks of retries")
	await.Unraced(t, "it computes, in one goroutine")
	t.Parallel()
	never, half := func(int) bool { return false }, func(job int) bool { return job%2 == 0 }
	for _, c := range []struct {
		name string
		manyJobs
		most float64 // of the retries that never pass, the share that is made
	}{
		{"150", manyJobs{150, 150, never}, 0.5},
		{"210", manyJobs{210, 210, never}, 0.5},
		{"400", manyJobs{400, 400, never}, 0.5},
		{"4,000", manyJobs{4000, 4000, never}, 0.5},
		{"1,000, of which half pass", manyJobs{1000, 1000, half}, 0.7},
		{"500, of which 450 have new names each day", manyJobs{500, 50, never}, 0.6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			made, skipped := c.simulate(0.2)
			share := float64(made[false]) / float64(made[false]+skipped[false])
			t.Logf("of those that never pass, %d are made and %d skipped: %.0f %% are made", made[false], skipped[false], 100*share)
			if share > c.most {
				t.Errorf("%.0f %% of the retries that never pass are made, want %.0f %% at most", 100*share, 100*c.most)
			}
			if skipped[true] > 0 {
				t.Errorf("%d retries that pass are skipped", skipped[true])
			}
		})
	}
}
