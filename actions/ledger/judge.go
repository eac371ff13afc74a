package ledger

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// probeEvery is how many retries that are not worth it there are for one that is made all
// the same.
const probeEvery = 20

// Verdict is what the ledger says of a retry.
type Verdict struct {
	Low     bool   // it is not worth it
	Probe   bool   // but is made all the same
	Figures string // what is known of such retries, for people; "" if nothing is
}

// Judge returns whether a retry is worth it. Nothing speaks against one whose rule has no
// `min_pass_rate`, or of which too little is known, or if `learning` is off.
func (l *Ledger) Judge(ctx context.Context, d event.Decision) (Verdict, error) {
	rate := d.Action.MinPassRate
	if rate <= 0 || d.Rule == "" || !l.Rules().Learns() {
		return Verdict{}, nil
	}
	of := label{d.Rule, classOf(d.Job.FailureClass), d.Job.Name}
	s, err := l.load(ctx, d.Event, of)
	if err != nil {
		return Verdict{}, err
	}
	return s.judge(of, d.Key, rate, l.Now()), nil
}

// judge returns whether a retry is worth it: the decision of a key, of a label, at a time, by
// the leaf that counts its tries. It is as long as people were not told otherwise.
func (s statistics) judge(of label, key string, rate float64, now time.Time) Verdict {
	known := s.project.find(s.project.place(of, now))
	if known == nil || known.Recent == "" {
		return Verdict{}
	}
	est, tries := s.estimate(known.label, now), ""
	if known.Job == "" {
		tries = "counted together with other jobs, "
	}
	tries += tally(est.recent)
	v := Verdict{Figures: fmt.Sprintf(
		"%s: that %s or more pass (`min_pass_rate`) has a probability of %s", tries, event.Percent(rate), percent(est.atLeast(rate)))}
	if known.Low && est.low(rate, true) {
		v.Low, v.Probe = true, probes(key)
	}
	return v
}

// learn adds a try of a label that ended at a time, whose rule wants a rate of them to pass
// (0: any). It returns the leaf that counts it and, of a rule, whether its retries have
// turned.
func (s *statistics) learn(of label, passed bool, rate float64, at, now time.Time) (own leaf, turned bool) {
	one := counts{Failed: 1, At: at}
	if passed {
		one = counts{Passed: 1, At: at}
	}
	one = one.at(now)
	l := s.project.add(of, one, now, memory(rate))
	s.class.add(label{Rule: of.Rule, Class: of.Class}, one, now, 0)
	if of.Rule != "" {
		low := s.estimate(l.label, now).low(rate, l.Low)
		turned, l.Low = low != l.Low, low
	}
	return *l, turned
}

// probes reports whether the decision of a key is a probe: the same after a crash and on
// every replica.
func probes(key string) bool {
	h := fnv.New64a()
	_, _ = h.Write([]byte("probe:" + key)) // never fails
	return h.Sum64()%probeEvery == 0
}
