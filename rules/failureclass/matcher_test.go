package failureclass_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/joblog"
)

// drawPattern draws a regular expression.
func drawPattern(t *rapid.T, depth int) string {
	atoms := []string{"a", "b", "ab", "ba", "aab", "k", "s", "ks", "é", ".", "[ab]", "[^a]", `\s`, `\b`, "^", "$", `\A`, `\z`, `\n`, "(?s:.)", "(?i:K)", "(?i:Sa)", "(?i:é)", "(?i:ab)"}
	if depth == 0 {
		return rapid.SampledFrom(atoms).Draw(t, "atom")
	}
	one, other := drawPattern(t, depth-1), drawPattern(t, depth-1)
	switch rapid.IntRange(0, 6).Draw(t, "operator") {
	case 0:
		return "(?:" + one + "|" + other + ")"
	case 1:
		return "(?:" + one + ")*"
	case 2:
		return "(" + one + ")+"
	case 3:
		return "(?:" + one + "){1,2}" + other
	case 4:
		return "(?:" + one + ")?" + other
	}
	return one + other
}

// first returns the name of the first class that has a pattern which matches a text.
func first(classes failureclass.List, text string) string {
	i := slices.IndexFunc(classes, func(c failureclass.Class) bool {
		return slices.ContainsFunc(c.Log, func(re *regexp.Regexp) bool { return re.MatchString(text) })
	})
	if i < 0 {
		return ""
	}
	return classes[i].Name
}

// TestMatch compares a Matcher with the classes' patterns, matched one after the other.
func TestMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var classes failureclass.List
		for i := range rapid.IntRange(1, 5).Draw(t, "classes") {
			c := failureclass.Class{Name: fmt.Sprint("class", i), Ending: rapid.Bool().Draw(t, "ending"), Within: rapid.IntRange(0, 2).Draw(t, "within")}
			for range rapid.IntRange(1, 3).Draw(t, "patterns") {
				mode := rapid.SampledFrom([]string{"", "(?m)", "(?i)", "(?im)"}).Draw(t, "mode")
				c.Log = append(c.Log, regexp.MustCompile(mode+drawPattern(t, rapid.IntRange(0, 3).Draw(t, "depth"))))
			}
			classes = append(classes, c)
		}
		var log strings.Builder
		for range rapid.IntRange(0, 12).Draw(t, "pieces") {
			log.WriteString(rapid.SampledFrom([]string{"a", "b", "A", "K", "k", "s", "é", "É", "ſ", "\u212a", " ", "\n", "\n$ a\n", "ab", "\nRunning after_script\n"}).Draw(t, "piece"))
		}
		want := ""
		for i := 0; i < len(classes) && want == ""; i++ {
			if !classes[i].Ending {
				want = first(classes[i:i+1], log.String())
				continue
			}
			to := i
			for to < len(classes) && classes[to].Ending {
				to++
			}
			behind := 0
			for _, line := range slices.Backward(strings.Split(strings.Join(joblog.Ending(log.String()), ""), "\n")) {
				if strings.TrimSpace(line) != "" && want == "" {
					reach := slices.DeleteFunc(slices.Clone(classes[i:to]), func(c failureclass.Class) bool { return c.Within < behind })
					want = first(reach, line)
					behind++
				}
			}
			i = to - 1
		}
		if got, err := failureclass.NewMatcher(classes).Match(log.String(), free); got != want || err != nil {
			t.Errorf("class %q, %v, want %q", got, err, want)
		}
	})
}

// TestMatchCharges checks that the work is counted before it is done.
func TestMatchCharges(t *testing.T) {
	_, m := common(t)
	spent := 0
	count := func(units int) error { spent += units; return nil }
	quiet := strings.Repeat("Downloading 12 of 80\n", 50_000)
	if _, err := m.Match(quiet, count); err != nil || spent < len(quiet)/16 || spent > len(quiet) {
		t.Errorf("%d units for a log of %d bytes without a candidate, %v", spent, len(quiet), err)
	}
	refused := errors.New("too much")
	if _, err := m.Match(quiet, func(int) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error %v, want that of charge", err)
	}
	before := spent
	if _, err := m.Match(strings.Repeat("npm error code \n", 50_000), count); err != nil || spent-before < before+500*len("npm error code ") {
		t.Errorf("%d units for a log of candidates, %v", spent-before, err)
	}
}

// aLog returns a log of 1 MiB of a failed job, with few lines that may be of a class, or
// many.
func aLog(candidates int) string {
	var b strings.Builder
	b.WriteString("$ make\n")
	for i := 0; b.Len() < 1<<20; i++ {
		if candidates > 0 && i%candidates == 0 {
			fmt.Fprintf(&b, "Error: 2026-11-22 12:00:%02d could not resolve host yet, no space left, ERROR: failed to build\n", i%60)
			continue
		}
		fmt.Fprintf(&b, "[%d/9000] Building CXX object src/CMakeFiles/shop.dir/module_%d.cpp.o in 0.%03ds\n", i%9000, i, i%1000)
	}
	b.WriteString("ERROR: Job failed: exit code 1\n")
	return b.String()
}

// BenchmarkMatch matches logs of 1 MiB with the pack common. None is of a class.
func BenchmarkMatch(b *testing.B) {
	_, m := common(b)
	for name, every := range map[string]int{"few candidates": 5_000, "a candidate in 10 lines": 10} {
		log := aLog(every)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			for b.Loop() {
				if class, err := m.Match(log, free); class != "" || err != nil {
					b.Fatal(class, err)
				}
			}
		})
	}
}
