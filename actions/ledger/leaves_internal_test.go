package ledger

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// Values that can't be true are refused as a whole.
func TestDecode(t *testing.T) {
	t.Parallel()
	const good = `{"rule":"r","class":"runner","job":"rspec","failed":13,"at":"2026-11-30T11:00:00Z","recent":"FFFFFFFFFFFFF"}`
	for _, c := range []struct{ name, value, says string }{
		{"good", `[` + good + `]`, ""},
		{"a clock that is ahead", `[` + strings.Replace(good, "T11", "T12", 1) + `]`, ""},
		{"truncated", `[` + good, "unexpected end"},
		{"not leaves", `{"a":1}`, "cannot unmarshal"},
		{"not a number", `[` + strings.Replace(good, "13", "NaN", 1) + `]`, "invalid character"},
		{"infinite", `[` + strings.Replace(good, "13", "1e999", 1) + `]`, "cannot unmarshal"},
		{"negative", `[` + strings.Replace(good, "13", "-13", 1) + `]`, "there can't be -13 tries"},
		{"huge", `[` + strings.Replace(good, "13", "1e300", 1) + `]`, "there can't be 1e+300 tries"},
		{"in the future", `[` + strings.Replace(good, "2026", "2062", 1) + `]`, "2062-11-30T11:00:00Z is in the future"},
		{"other results", `[` + strings.Replace(good, "FFF", "FxF", 1) + `]`, "results"},
		{"too many results", `[` + strings.Replace(good, "FFF", strings.Repeat("F", 30), 1) + `]`, "results"},
		{"too many leaves", `[` + good + strings.Repeat(","+good, maxLeaves) + `]`, "too long"},
		{"too many shared leaves", `[{}` + strings.Repeat(",{}", maxShared) + `]`, "too long"},
		{"too long", strings.Repeat(" ", maxValue+1), "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			all, err := decode([]byte(c.value), noon)
			if got := fmt.Sprint(err); c.says != "" && !strings.Contains(got, c.says) || c.says == "" && err != nil {
				t.Errorf("%v, want %q", err, c.says)
			}
			if (len(all) > 0) != (c.says == "") {
				t.Errorf("%d leaves with %v", len(all), err)
			}
		})
	}
}

// A value is bounded, and loses no try: jobs for which there is no room share a leaf, and
// leaves of others, or those that have faded, make room.
func TestRoom(t *testing.T) {
	t.Parallel()
	var all leaves
	name := func(n int) label { return label{"r", []string{"runner", "stuck"}[n%2], fmt.Sprint("generated ", n)} }
	sums := func(now time.Time) counts { return all.sum("runner", now).plus(all.sum("stuck", now)) }
	for n := range maxLeaves { // full of those of others, which are heavier
		for range 3 {
			all.add(label{"", "runner", fmt.Sprint("others ", n)}, counts{Failed: 1, At: noon}, noon, 0)
		}
	}
	for n := range 3 * maxLeaves {
		l := all.add(name(n), counts{Failed: 1, At: noon}, noon, 0)
		if own := n < maxLeaves; own != (l.label == name(n)) || !own && l.label != name(n).shared() {
			t.Fatalf("try %d is counted by %+v", n, l.label)
		}
		if got := all.jobs(); got != maxLeaves {
			t.Fatalf("%d leaves of jobs", got)
		}
	}
	if got := sums(noon); got.Failed != 6*maxLeaves {
		t.Errorf("in all %+v, want %d failed", got, 6*maxLeaves)
	}
	if got := all.of(label{Class: "runner"}, noon).Failed; got != 3*maxLeaves {
		t.Errorf("of others %v failed, want %d", got, 3*maxLeaves)
	}
	if l := all.add(label{"", "runner", "others 0"}, counts{Failed: 1, At: noon}, noon, 0); l.label != (label{Class: "runner"}) {
		t.Errorf("a try of others is counted by %+v: the leaf of a rule made room for it", l.label)
	}
	for n := 1; n < maxLeaves; n++ { // all but the first are tried again, so that it fades first
		all.add(name(n), counts{Failed: 1, At: noon.Add(halfLife / 2)}, noon.Add(halfLife/2), 0)
	}
	newer := label{"r", "stuck", "new"}
	if got := all.place(newer, noon.Add(halfLife-time.Minute)); got != newer.shared() {
		t.Errorf("a minute before that one is counted by %+v", got)
	}
	before := sums(noon.Add(halfLife))
	if l := all.add(newer, counts{Passed: 1, At: noon.Add(halfLife)}, noon.Add(halfLife), 0); l.label != newer || all.find(name(0)) != nil {
		t.Errorf("once a leaf has faded, a new job is counted by %+v", l.label)
	}
	if got := sums(noon.Add(halfLife)); math.Abs(got.weight()-before.weight()-1) > 1e-6 {
		t.Errorf("in all %+v, want one more than %+v", got, before)
	}
	for range 60 { // a heavy one of a job that is gone
		all.add(name(1), counts{Passed: 1, At: noon.Add(halfLife)}, noon.Add(halfLife), 0)
	}
	for n := 2; n < maxLeaves; n++ {
		for range 9 {
			all.add(name(n), counts{Passed: 1, At: noon.Add(halfLife + unused - time.Hour)}, noon.Add(halfLife+unused-time.Hour), 0)
		}
	}
	all.add(newer, counts{Passed: 1, At: noon.Add(halfLife + unused - time.Hour)}, noon.Add(halfLife+unused-time.Hour), 0)
	if newest := (label{"r", "runner", "newest"}); all.add(newest, counts{Passed: 1, At: noon.Add(halfLife + unused)}, noon.Add(halfLife+unused), 0).label != newest || all.find(name(1)) != nil {
		t.Error("the leaf of a job that had no try for 30 days makes no room")
	}
	for n := range 2 * maxShared {
		all.add(label{"", fmt.Sprint("class ", n), ""}, counts{Failed: 1, At: noon.Add(time.Duration(n) * time.Second)}, noon.Add(time.Duration(n)*time.Second), 0)
	}
	if shared := len(all) - all.jobs(); shared != maxShared || all.jobs() != maxLeaves {
		t.Errorf("%d leaves of jobs and %d shared ones, want %d and %d", all.jobs(), shared, maxLeaves, maxShared)
	}
	if body, err := json.Marshal(all); err != nil {
		t.Error(err)
	} else if _, err := decode(body, noon.Add(halfLife+unused)); err != nil {
		t.Errorf("what was written can't be read: %v", err)
	}
}

// A job for which there is no room is judged by the leaf that such jobs share, and its retries
// say so.
func TestJudgedTogether(t *testing.T) {
	t.Parallel()
	var s statistics
	for n := range maxLeaves {
		s.project.add(label{"r", "runner", fmt.Sprint("job ", n)}, counts{Passed: 1, At: noon}, noon, 0)
	}
	tries := 0
	for turned := false; !turned && tries < 50; tries++ {
		var counted leaf
		if counted, turned = s.learn(label{"r", "runner", fmt.Sprint("other ", tries)}, false, 0.2, noon, noon); counted.Job != "" {
			t.Fatalf("a try is counted by %+v", counted)
		}
	}
	if tries != 13 {
		t.Errorf("turned after %d tries, want 13", tries)
	}
	want := "counted together with other jobs, of the last 13 such retries none passed: that 20% or more pass"
	if v := s.judge(label{"r", "runner", "unknown"}, "retry:7", 0.2, noon); !v.Low || !strings.HasPrefix(v.Figures, want) {
		t.Errorf("a job without a leaf: %+v, want %q", v, want)
	}
	if v := s.judge(label{"r", "runner", "job 0"}, "retry:7", 0.2, noon); v.Low {
		t.Errorf("a job with a leaf: %+v", v)
	}
}

// Counts lose half their weight in two weeks, and a leaf remembers as many as it is to.
func TestWeight(t *testing.T) {
	t.Parallel()
	of := label{"r", "runner", "rspec"}
	var all leaves
	for range 200 {
		all.add(of, counts{Failed: 1, At: noon}, noon, 60)
	}
	if got := all.of(of, noon).weight(); math.Abs(got-60) > 1e-9 {
		t.Errorf("200 tries have the weight %v, want %d", got, 60)
	}
	if got := all.of(of, noon.Add(halfLife)).weight(); math.Abs(got-60/2) > 1e-9 {
		t.Errorf("after two weeks they have the weight %v, want %d", got, 60/2)
	}
	if got := all.of(of, noon.Add(-time.Hour)).weight(); got != 60 && math.Abs(got-60) > 1e-9 {
		t.Errorf("by a clock that is behind they have the weight %v, want %d", got, 60)
	}
	if got := len(all.find(of).Recent); got != maxRecent {
		t.Errorf("%d results, want %d", got, maxRecent)
	}
}

// How many tries without a pass it takes to stop, by what else is known.
func TestParents(t *testing.T) {
	t.Parallel()
	of := label{"r", "runner", "rspec"}
	add := func(s *statistics, to label, tries int, passed bool) {
		for range tries {
			s.learn(to, passed, 0, noon, noon)
		}
	}
	for _, c := range []struct {
		name  string
		known func(s *statistics)
		tries int
	}{
		{"nothing else", func(*statistics) {}, 13},
		{"another class", func(s *statistics) { add(s, label{"r", "stuck", "rspec"}, 500, false) }, 13},
		{"the rule's other jobs never pass", func(s *statistics) { add(s, label{"r", "runner", "lint"}, 500, false) }, 8},
		{"the rule's other jobs always pass", func(s *statistics) { add(s, label{"r", "runner", "lint"}, 500, true) }, 13},
		{"other rules' never pass", func(s *statistics) { add(s, label{"another", "runner", "rspec"}, 500, false) }, 8},
		{"those of others never pass", func(s *statistics) { add(s, label{"", "runner", "rspec"}, 500, false) }, 8},
		{"those of others always pass", func(s *statistics) { add(s, label{"", "runner", "rspec"}, 500, true) }, 13},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var s statistics
			c.known(&s)
			for n := 1; n <= 100; n++ {
				own, turned := s.learn(of, false, 0.2, noon, noon)
				if turned != (own.Low && n == c.tries) {
					t.Errorf("after %d tries: low %t, turned %t", n, own.Low, turned)
				}
				if own.Low {
					if n != c.tries {
						t.Errorf("stopped after %d tries, want %d", n, c.tries)
					}
					return
				}
			}
			t.Error("not stopped after 100 tries")
		})
	}
}

// One in 20 retries is a probe, whichever keys the decisions have.
func TestProbes(t *testing.T) {
	t.Parallel()
	for _, step := range []int{1, 2, 7, 1000} {
		n := 0
		for i := range 20_000 {
			if probes(fmt.Sprintf("retry:https://gitlab.example.com:7:%d:failed", 1_000_000+i*step)) {
				n++
			}
		}
		if n < 900 || n > 1100 {
			t.Errorf("%d probes of 20,000 with ids in steps of %d, want about 1,000", n, step)
		}
	}
}
