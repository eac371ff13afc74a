package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// halfLife is the time in which counts lose half their weight.
	halfLife = 14 * 24 * time.Hour
	// maxLeaves bounds the leaves of a value, and maxValue its length in bytes.
	maxLeaves = 200
	maxValue  = 1 << 20
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
	if len(all) > maxLeaves {
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

// add adds a try, as it counts now, to the leaf of a label and returns that leaf, which then has
// a weight of most at most; 0: any.
func (all *leaves) add(to label, try counts, now time.Time, most float64) *leaf {
	if all.find(to) == nil {
		*all = append(*all, leaf{label: to, counts: counts{At: now}})
		all.fold(to, now)
	}
	l := all.find(to)
	l.counts = l.at(now)
	if most > 0 && l.weight() > most-1 {
		l.scale((most - 1) / l.weight())
	}
	l.counts = l.plus(try)
	result := resultFailed
	if try.Passed > 0 {
		result = resultPassed
	}
	l.Recent += string(result)
	l.Recent = l.Recent[max(0, len(l.Recent)-maxRecent):]
	return l
}

// fold makes room: it adds the lightest leaf but that of the label keep to the leaf of all
// other jobs of its class. The lightest of those is forgotten if there is no other one.
func (all *leaves) fold(keep label, now time.Time) {
	for len(*all) > maxLeaves {
		lightest := -1
		for i, leaf := range *all {
			if leaf.label == keep || lightest >= 0 && leaf.at(now).weight() >= (*all)[lightest].at(now).weight() {
				continue
			}
			lightest = i
		}
		folded := (*all)[lightest]
		*all = slices.Delete(*all, lightest, lightest+1)
		others := label{Class: folded.Class}
		if folded.label == others {
			continue
		}
		rest := all.find(others)
		if rest == nil {
			*all = append(*all, leaf{label: others, counts: counts{At: now}})
			rest = &(*all)[len(*all)-1]
		}
		rest.counts = rest.at(now).plus(folded.at(now))
	}
}
