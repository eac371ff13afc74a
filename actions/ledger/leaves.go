package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// halfLife is the time in which counts lose half their weight.
	halfLife = 14 * 24 * time.Hour
	// parts is how many values of the store the leaves of a project are in. maxLeaves bounds
	// the leaves of jobs in a value, maxShared those of all other jobs, or of all jobs, and
	// maxValue its length in bytes.
	parts     = 16
	maxLeaves = 200
	maxShared = 200
	maxValue  = 1 << 20
	// unused is after how much time without a try a job's leaf makes room, too.
	unused = 30 * 24 * time.Hour
	// faded is the weight up to which a job's leaf makes room for that of another job.
	faded = 0.5
	// maxRecent is how many results a leaf has for people to read.
	maxRecent = 20
	// maxCount bounds the counts of tries that can be true.
	maxCount = 1e9
	// clockSkew is how far apart the clocks of two replicas may be.
	clockSkew = 10 * time.Minute
)

// The results of tries in leaf.Recent.
const (
	resultPassed = 'P'
	resultFailed = 'F'
)

// label says which tries a leaf counts. The tries of others have no rule, and a leaf without
// a job counts those of all jobs, or of all other jobs.
type label struct {
	Rule  string `json:"rule,omitzero"`
	Class string `json:"class"`
	Job   string `json:"job,omitzero"`
}

// part returns in which part of its project's statistics the leaf of the label is: in the
// same one as those of other rules and of others, of the same job and class.
func (of label) part() int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(of.Class + "\x00" + of.Job)) // never fails
	return int(h.Sum32() % parts)
}

// shared returns the label of all other jobs.
func (of label) shared() label { return label{Rule: of.Rule, Class: of.Class} }

// counts are numbers of tries, which have lost weight until At.
type counts struct {
	Passed float64   `json:"passed,omitzero"`
	Failed float64   `json:"failed,omitzero"`
	At     time.Time `json:"at"`
}

// weight returns how many tries there are, by their weight.
func (c counts) weight() float64 { return c.Passed + c.Failed }

// at returns the counts as they are at a time: with less weight. Those of a replica whose
// clock is ahead keep theirs.
func (c counts) at(now time.Time) counts {
	if age := now.Sub(c.At); age > 0 {
		c.scale(math.Exp2(-age.Hours() / halfLife.Hours()))
		c.At = now
	}
	return c
}

func (c *counts) scale(by float64) { c.Passed, c.Failed = c.Passed*by, c.Failed*by }

// plus and less return the sum and the difference of counts as they are at the same time. No
// difference is below 0: a job's leaf forgets faster than its parents.
func (c counts) plus(o counts) counts {
	return counts{c.Passed + o.Passed, c.Failed + o.Failed, c.At}
}

func (c counts) less(o counts) counts {
	return counts{max(0, c.Passed-o.Passed), max(0, c.Failed-o.Failed), c.At}
}

// valid returns an error for counts that no tries have.
func (c counts) valid(now time.Time) error {
	for _, n := range []float64{c.Passed, c.Failed} {
		if !(n >= 0 && n <= maxCount) { // NaN is not
			return fmt.Errorf("there can't be %v tries", n)
		}
	}
	if c.At.After(now.Add(clockSkew)) {
		return fmt.Errorf("%s is in the future", c.At.Format(time.RFC3339))
	}
	return nil
}

// leaf counts the tries of a label.
type leaf struct {
	label
	counts
	Recent string `json:"recent,omitzero"` // the last results, oldest first: P or F for each
	// Low is set while retries are not worth it, as people were told.
	Low bool `json:"low,omitzero"`
}

// leaves are those of one value.
type leaves []leaf

var errLong = errors.New("it is too long")

// decode reads leaves. It refuses all of them if one of them can't be true.
func decode(body []byte, now time.Time) (all leaves, err error) {
	if body == nil {
		return nil, nil
	}
	if len(body) > maxValue {
		return nil, errLong
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	if jobs := all.jobs(); jobs > maxLeaves || len(all)-jobs > maxShared {
		return nil, errLong
	}
	for _, leaf := range all {
		if err := leaf.valid(now); err != nil {
			return nil, err
		}
		if len(leaf.Recent) > maxRecent || strings.Trim(leaf.Recent, string([]rune{resultPassed, resultFailed})) != "" {
			return nil, fmt.Errorf("results %.40q", leaf.Recent)
		}
	}
	return all, nil
}

// find returns the leaf of a label, nil if there is none.
func (all leaves) find(of label) *leaf {
	if i := slices.IndexFunc(all, func(leaf leaf) bool { return leaf.label == of }); i >= 0 {
		return &all[i]
	}
	return nil
}

// of returns the counts of a label at a time, zero if it has no leaf.
func (all leaves) of(wanted label, now time.Time) counts {
	if leaf := all.find(wanted); leaf != nil {
		return leaf.at(now)
	}
	return counts{At: now}
}

// sum returns the counts of all labels of a class at a time.
func (all leaves) sum(class string, now time.Time) counts {
	total := counts{At: now}
	for _, leaf := range all {
		if leaf.Class == class {
			total = total.plus(leaf.at(now))
		}
	}
	return total
}

// jobs returns how many leaves are of one job.
func (all leaves) jobs() (n int) {
	for _, leaf := range all {
		if leaf.Job != "" {
			n++
		}
	}
	return n
}

// place returns the label of the leaf that counts the tries of a label: its own, or, where
// there is none and no room for it, that of all other jobs.
func (all leaves) place(of label, now time.Time) label {
	if all.find(of) != nil || all.jobs() < maxLeaves || all.dispensable(of, now) >= 0 {
		return of
	}
	return of.shared()
}

// dispensable returns the index of the leaf that makes room for a new one of a label, -1 if
// none does. The leaves of others do for that of a rule, and any do that have faded or are
// unused: those of others first, then the lightest, then the oldest.
func (all leaves) dispensable(of label, now time.Time) int {
	found := -1
	for i, leaf := range all {
		goes := leaf.Rule == "" && of.Rule != "" || leaf.at(now).weight() <= faded || now.Sub(leaf.At) >= unused
		if leaf.Job != "" && goes && (found < 0 || leaf.goesBefore(all[found], now)) {
			found = i
		}
	}
	return found
}

func (l leaf) goesBefore(o leaf, now time.Time) bool {
	ofRule := func(l leaf) int { return min(len(l.Rule), 1) }
	return cmp.Or(cmp.Compare(ofRule(l), ofRule(o)), cmp.Compare(l.at(now).weight(), o.at(now).weight()), l.At.Compare(o.At)) < 0
}

// add adds a try of a label, as it counts now, to the leaf that counts it, and returns that
// leaf, which then has a weight of most at most; 0: any.
func (all *leaves) add(of label, try counts, now time.Time, most float64) *leaf {
	of = all.place(of, now)
	l := all.find(of)
	if l == nil {
		l = all.grow(of, now)
	}
	l.counts = l.at(now)
	if most > 0 && l.weight() > most-1 {
		l.scale((most - 1) / l.weight())
	}
	l.counts = l.plus(try)
	result := resultFailed
	if try.Passed > 0 {
		result = resultPassed
	}
	l.Recent = last(l.Recent + string(result))
	return l
}

// last returns the last of some results.
func last(recent string) string { return recent[max(0, len(recent)-maxRecent):] }

// grow adds a leaf of a label and returns it. One of a job that makes room for it is added to
// that of all other jobs. Of those, the lightest is forgotten if they are too many.
func (all *leaves) grow(of label, now time.Time) *leaf {
	switch jobs := all.jobs(); {
	case of.Job != "" && jobs >= maxLeaves:
		i := all.dispensable(of, now)
		goes := (*all)[i]
		*all = slices.Delete(*all, i, i+1)
		shared := all.find(goes.shared())
		if shared == nil {
			shared = all.grow(goes.shared(), now)
		}
		shared.counts = shared.at(now).plus(goes.at(now))
		shared.Recent = last(goes.Recent + shared.Recent)
	case of.Job == "" && len(*all)-jobs >= maxShared:
		lightest := -1
		for i, leaf := range *all {
			if leaf.Job == "" && (lightest < 0 || leaf.goesBefore((*all)[lightest], now)) {
				lightest = i
			}
		}
		*all = slices.Delete(*all, lightest, lightest+1)
	}
	*all = append(*all, leaf{label: of, counts: counts{At: now}})
	return &(*all)[len(*all)-1]
}
