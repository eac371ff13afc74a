package ledger

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"gonum.org/v1/gonum/mathext"
)

const (
	// unlikely is the probability below which retries are not worth it at most, and
	// likelyAgain the one from which on they are again. With less of a distance, they would be
	// again as soon as the tries are a little older, or one of many probes passes by chance.
	unlikely    = 0.05
	likelyAgain = 0.5
	// minWeight is the weight that a job's own tries must have for that, and keptWeight what
	// they must keep.
	minWeight  = 8
	keptWeight = 2
	// strength is the weight of a prior.
	strength = 2
	// A prior's mean is between these: its distribution has no pole of its own, and retries of
	// a job that never pass do not go on for longer because other ones pass.
	minMean = 0.05
	maxMean = 0.5
)

// enough returns how many tries, by weight, show that retries are not worth it if none of
// them passes, for a rate (0: none is wanted).
func enough(rate float64) float64 {
	if rate <= 0 || rate >= 1 {
		rate = 0.1
	}
	return max(minWeight, math.Log(unlikely)/math.Log(1-rate))
}

// memory returns how many tries a job's leaf remembers for a rate, by weight: each further
// one takes some from those before it.
func memory(rate float64) float64 { return 3 * enough(rate) }

// estimate is what is known of the pass rate of a rule's retries of a job.
type estimate struct {
	own    counts
	mean   float64 // of the prior
	recent string
}

// estimate returns what is known at a time of the retries that the leaf of a label counts.
func (s statistics) estimate(of label, now time.Time) estimate {
	est := estimate{own: s.project.of(of, now)}
	if leaf := s.project.find(of); leaf != nil {
		est.recent = leaf.Recent
	}
	others := s.project.find(label{Class: of.Class, Job: of.Job})
	if others == nil { // folded, perhaps
		others = &leaf{label: label{Class: of.Class}, counts: s.project.of(label{Class: of.Class}, now)}
	}
	byOthers := others.at(now)
	class := s.class.sum(of.Class, now).less(est.own).less(byOthers)
	rule := s.class.of(label{Rule: of.Rule, Class: of.Class}, now).less(est.own)
	est.mean = 0.5
	for _, parent := range []counts{class, rule, byOthers} {
		est.mean = (parent.Passed + strength*est.mean) / (parent.weight() + strength)
	}
	est.mean = min(max(est.mean, minMean), maxMean)
	return est
}

// atLeast returns the probability that the pass rate is at least rate.
func (est estimate) atLeast(rate float64) float64 {
	passed, failed := est.own.Passed+strength*est.mean, est.own.Failed+strength*(1-est.mean)
	return mathext.RegIncBeta(failed, passed, 1-rate)
}

// bound returns the probability below which retries are not worth it: it is looked at after
// each try, which is one more chance to be wrong, so it is lower the more tries there are.
func (est estimate) bound(rate float64) float64 {
	return unlikely * min(1, enough(rate)/est.own.weight())
}

// low reports whether the pass rate is hardly as high as rate: retries are not worth it. was
// is what it reported before.
func (est estimate) low(rate float64, was bool) bool {
	switch {
	case rate <= 0, rate >= 1, len(est.recent) < minWeight:
		return false
	case was:
		return est.own.weight() >= keptWeight && est.atLeast(rate) < likelyAgain
	}
	return est.own.weight() >= minWeight && est.atLeast(rate) < est.bound(rate)
}

// tally describes the last tries for people.
func tally(recent string) string {
	passed, tries := strings.Count(recent, string(resultPassed)), english.Plural(len(recent), "such retry", "")
	if passed == 0 {
		return fmt.Sprintf("of the last %s none passed", tries)
	}
	return fmt.Sprintf("of the last %s %d passed", tries, passed)
}

// percent formats a probability like 4.5%.
func percent(probability float64) string {
	if probability < 0.001 {
		return "under 0.1%"
	}
	return fmt.Sprintf("%.1f%%", 100*probability)
}
