package cluster_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/cluster"
)

func TestMask(t *testing.T) {
	for line, want := range map[string]string{
		"no numbers here": "no numbers here",
		"":                "",
		"worker 12 of 80 failed after 3.5s, 98.2% done":                               "worker <n> of <n> failed after <duration>, <n> done",
		"job 8801 took 1m30s":                                                         "job <n> took <duration>",
		"2026-11-22T12:00:01.123Z ERROR boom at 12:00:01,5":                           "<time> ERROR boom at <time>",
		"GET https://registry.example.com/v2/shop?x=1: 503 Service down":              "GET <url> 503 Service down",
		"curl: (22) The requested URL returned error: 502":                            "curl: (22) The requested URL returned error: 502",
		"HTTP 404 Not Found for item 404 of 500":                                      "HTTP 404 Not Found for item <n> of <n>",
		"answered with status code 429":                                               "answered with status code 429",
		"ERROR: Job failed: exit code 137":                                            "ERROR: Job failed: exit code 137",
		"dial tcp 10.0.0.12:5432: connect: connection refused":                        "dial tcp <host>: connect: connection refused",
		"lookup db-7.prod.example.com on 10.0.0.10:53: no such host":                  "lookup <host> on <host>: no such host",
		"connect to db:5432 failed":                                                   "connect to db:<n> failed",
		"runner-dyz3kq8wb-project-42-concurrent-0 lost":                               "runner-<id>-project-<n>-concurrent-<n> lost",
		"pod shop-6d5f8b9c7d-2xk4q is gone":                                           "pod shop-<id>-<id> is gone",
		"commit 8f3a2c1d9e of 3fa85f64-5717-4562-b3fc-2c963f66afa6":                   "commit <id> of <id>",
		"image sha256:3f8a1bc7d2e94c5568a0 is damaged":                                "image <id> is damaged",
		"error[E0308]: mismatched types in src/cart.rs:12:5":                          "error[E0308]: mismatched types in <path>",
		"/builds/platform/shop/main.go:44:9: undefined: totl":                         "<path>: undefined: totl",
		`open C:\builds\shop\a.txt: denied`:                                           "open <path> denied",
		"java.lang.OutOfMemoryError: Java heap space":                                 "java.lang.OutOfMemoryError: Java heap space",
		"x509: certificate signed by unknown authority":                               "x509: certificate signed by unknown authority",
		"expected <nil> but got <error>":                                              "expected ‹nil› but got ‹error›",
		"go: golang.org/x/text@v0.20.0: reading https://a.example/b: 502 Bad Gateway": "go: <path>: reading <url> 502 Bad Gateway",
		"npm error code E503":                                                         "npm error code E503",
		"OSError: [Errno 28] No space left":                                           "OSError: [Errno 28] No space left",
		"upgrade v1.20.3 to 2.0.1 failed":                                             "upgrade <n> to <n> failed",
	} {
		if got := cluster.Mask(line); got != want {
			t.Errorf("Mask(%q)\n got %q\nwant %q", line, got, want)
		}
	}
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  []string // texts of the groups, the one that was added to last first
	}{
		{"ids differ", []string{"license server lic-7 has no seat for job 8801", "license server lic-9 has no seat for job 8802"}, []string{"license server lic-<n> has no seat for job <n>"}},
		{"a word differs", []string{"module alpha could not be linked", "module beta could not be linked"}, []string{"module <*> could not be linked"}},
		{"the code differs", []string{"npm error code E503", "npm error code ECONNRESET", "npm error code E503"}, []string{"npm error code E503", "npm error code ECONNRESET"}},
		{"the status differs", []string{"upload failed with status 502", "upload failed with status 403"}, []string{"upload failed with status 403", "upload failed with status 502"}},
		{"how it failed differs", []string{"connection to db refused", "connection to db reset"}, []string{"connection to db reset", "connection to db refused"}},
		{"the error differs", []string{"Traceback: a.KeyError in main", "Traceback: a.ValueError in main"}, []string{"Traceback: a.ValueError in main", "Traceback: a.KeyError in main"}},
		{"exactly half is the same", []string{"a b c d", "a b e f"}, []string{"a b <*> <*>"}},
		{"the more similar group, not the first", []string{"a b c d e f", "a b u v w x", "a b u v w y"}, []string{"a b u v w <*>", "a b c d e f"}},
		{"other lengths", []string{"a b c", "a b c d"}, []string{"a b c d", "a b c"}},
		{"little in common", []string{"the quick brown fox jumps", "the quick red cat sleeps"}, []string{"the quick red cat sleeps", "the quick brown fox jumps"}},
		{"cut", []string{"something went wrong with thi…", "something went wrong with this and th…"}, []string{"something went wrong with this and", "something went wrong with"}},
		{"cut in the only word", []string{"aaaaaaaaaa…"}, []string{"aaaaaaaaaa<…>"}},
		{"no words", []string{"", "  "}, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := cluster.New(10)
			for _, line := range c.lines {
				tree.Add(cluster.Words(line))
			}
			got := []string{}
			for _, g := range tree.Groups() {
				got = append(got, g.Text())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTreeIsBounded checks that the groups that were added to last are kept.
func TestTreeIsBounded(t *testing.T) {
	tree := cluster.New(3)
	names := strings.Fields("alpha beta gamma delta alpha epsilon")
	for _, name := range names {
		tree.Add(cluster.Words(name + " broke"))
	}
	var got []string
	for _, g := range tree.Groups() {
		got = append(got, g.Text())
	}
	if diff := cmp.Diff([]string{"epsilon broke", "alpha broke", "delta broke"}, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

// TestPatternOfAWildcardThatIsATime checks that a time, which is one word of a masked line
// and two of the log, matches where the words of a group differ.
func TestPatternOfAWildcardThatIsATime(t *testing.T) {
	lines := []string{"12 alpha", "2026-11-22 12:00:00 alpha", "[2026-11-22 12:00:00.5Z] alpha"}
	tree := cluster.New(1)
	for _, line := range lines {
		tree.Add(cluster.Words(line))
	}
	re := regexp.MustCompile(tree.Groups()[0].Pattern())
	for _, line := range lines {
		if !re.MatchString(line) {
			t.Errorf("%q is not matched by %s", line, re)
		}
	}
}

// drawLine draws a line of a log.
func drawLine(t *rapid.T) string {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{
		"error:", "failed", "module", "alpha", "beta", "(a+b)", "<nil>", "12", "503", "[x]", "/a/b/c.go:1:2:", "https://example.com/a", "v1.2.3", "2026-11-22 12:00:00", "10.0.0.1:80",
		"runner-a1b2c3d4-7", "\t", "8f3a2c1d", "1m30s", "…", "alp…", "$HOME/x/y", `"quoted 7"`, "größer", "许可证", "\u00a0", "\u2003x", "a\tb",
		"[fe80::1%eth0]:443", "[::1]", "[2001:db8::1]:80,", `C:\builds\shop\a.txt:`, `D:\Program`, "3fa85f64-5717-4562-b3fc-2c963f66afa6", "id=3FA85F64-5717-4562-B3FC-2C963F66AFA6;",
		"at=2026-11-22 12:00:00", "2026-11-22 12:00:00.123456+0100:", "2026-11-22", "12:00:01,5", "(2026-11-22T12:00:00Z)", `url="https://example.com/a?b=c&d='e'"`, `'http://[::1]:80/x'`, "https://", "<https://a.b/c>",
		"sha256:3f8a1bc7", "registry.example.com/base:9", "a@b.example.com", "../x/y", "=~+*?{2}|^$", `\d+`, "1,234.5%", "0x7f", "--", "50%", "a<b>c", "‹n›", strings.Repeat("long", 200),
	}), 0, 60).Draw(t, "words")
	return strings.Join(words, rapid.SampledFrom([]string{" ", " ", "  ", "\t", "", "="}).Draw(t, "between"))
}

// TestMaskOfSuspiciousWords checks that Mask leaves out no word that has something to mask.
func TestMaskOfSuspiciousWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := drawLine(t)
		if rapid.Bool().Draw(t, "any") {
			line = rapid.StringOf(rapid.SampledFrom([]rune("aAfF09 .:/\\\\-[]\t\"'=<…ßsmhgoTZ%"))).Draw(t, "line")
		}
		if got, want := cluster.Mask(line), cluster.MaskWhole(line); got != want {
			t.Errorf("Mask(%q)\n got %q\nwant %q", line, got, want)
		}
	})
}

// BenchmarkMask masks the line of BenchmarkClusters in actions/unknown, each time with other
// numbers; whole: with all words matched with regular expressions.
func BenchmarkMask(b *testing.B) {
	for name, mask := range map[string]func(string) string{"mask": cluster.Mask, "whole": cluster.MaskWhole} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				mask(fmt.Sprintf("module mab: license server lic-%d.example.com:%d refused job 88%02d of /builds/a/b/c.go:%d after %d.5s", i%7, i, i, i%90, i%60))
			}
		})
	}
}

// TestPatterns checks that the pattern of a group matches each log whose telling line was
// added to it, wherever the line is in the log, and that the groups follow from the lines
// alone.
func TestPatterns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := cluster.New(5), cluster.New(5)
		groups := map[*cluster.Group][]string{}
		for range rapid.IntRange(0, 20).Draw(t, "lines") {
			log := joblog.Clean("  " + drawLine(t) + rapid.SampledFrom([]string{"\n", "\r\n", ""}).Draw(t, "end"))
			line := joblog.Telling(log)
			other.Add(cluster.Words(line))
			if g := one.Add(cluster.Words(line)); g != nil {
				groups[g] = append(groups[g], log)
			}
		}
		texts := func(tree *cluster.Tree) (all []string) {
			for _, g := range tree.Groups() {
				all = append(all, g.Text())
			}
			return all
		}
		if diff := cmp.Diff(texts(one), texts(other)); diff != "" {
			t.Errorf("the same lines have other groups:\n%s", diff)
		}
		for g, logs := range groups {
			re, err := regexp.Compile(g.Pattern())
			if err != nil || len(re.String()) > 1000 {
				t.Fatalf("pattern of %d bytes: %v", len(re.String()), err)
			}
			for _, log := range logs {
				if !re.MatchString("before\n"+log) || !re.MatchString(log+"\nafter") {
					t.Errorf("%q of group %q is not matched by %s", log, g.Text(), re)
				}
			}
		}
	})
}

// BenchmarkLog finds the telling line of a log of 1 MiB, and its group.
func BenchmarkLog(b *testing.B) {
	var log strings.Builder
	log.WriteString("$ make\n")
	for i := 0; log.Len() < 1<<20; i++ {
		fmt.Fprintf(&log, "[%d/9000] Building CXX object src/CMakeFiles/shop.dir/module_%d.cpp.o in 0.%03ds\n", i%9000, i, i%1000)
	}
	log.WriteString("license server lic-7 refused job 8801\nERROR: Job failed: exit code 1\n")
	text := log.String()
	tree := cluster.New(1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if tree.Add(cluster.Words(joblog.Telling(strings.Join(joblog.Ending(text), "")))) == nil {
			b.Fatal("no line")
		}
	}
}

// BenchmarkManyGroups adds lines, each of which is a group of its own, to a tree of so many
// groups: nearly half of the words are the same.
func BenchmarkManyGroups(b *testing.B) {
	const groups, words = 500, 40
	lines := make([][]string, 2*groups)
	for n := range lines {
		for i := range words {
			if i < words/2-1 {
				lines[n] = append(lines[n], "same")
			} else {
				lines[n] = append(lines[n], fmt.Sprintf("%c%c%c", 'a'+n%26, 'a'+n/26%26, 'a'+n/676))
			}
		}
	}
	for b.Loop() {
		tree := cluster.New(groups)
		for _, l := range lines {
			tree.Add(l)
		}
		if len(tree.Groups()) != groups {
			b.Fatal(len(tree.Groups()))
		}
	}
}
