package joblog_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/joblog"
)

const stamp = "2024-05-22T12:43:46.962646Z 00O "

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"plain", "a\n\nb\tc\n", "a\n\nb\tc\n"},
		{"no newline at the end", "a\nb", "a\nb"},
		{"Windows", "a\r\nb\r\n", "a\nb\n"},
		{"other scripts", "Zugriff verweigert ü, 失败, 🚀\n", "Zugriff verweigert ü, 失败, 🚀\n"},

		{"colours", "\x1b[32;1m$ make\x1b[0;m\n", "$ make\n"},
		{"colours of 256 and with colons", "\x1b[38;5;196mred\x1b[38:2::1:2:3mred\x1b[m", "redred"},
		{"character sets", "\x1b(Bplain\x1b)0\x1b%G", "plain"},
		{"two characters", "\x1b7\x1b8\x1bcx\x1b=", "x"},
		{"private modes", "\x1b[?25lx\x1b[?25h", "x"},
		{"window title", "\x1b]0;npm ci\x07done", "done"},
		{"hyperlink", "\x1b]8;;https://example.com\x1b\\text\x1b]8;;\x1b\\.", "text."},
		{"device control", "\x1bP1$r0m\x1b\\x\x1b_app\x1b\\y", "xy"},
		{"8-bit, in UTF-8", "\u009b31mred\u009b0m \u009d0;title\u009c.", "red ."},
		{"8-bit, raw", "\x9b31mred\x9b0m \x9d0;title\x9c.", "red ."},
		{"broken off", "a\x1b\nb\x1b[\nc\x1b[31\nd\x1b]0;title\ne\x1b(", "a\nb\nc\nd\ne"},
		{"broken off before another", "a\x1b[3\x1b[31mb", "ab"},
		{"broken off before text that is not ASCII", "\x1b[3ü", "ü"},

		{"progress", "10%\r50%\r100%\n", "100%\n"},
		{"progress with the cursor at the start in the end", "10%\r100%\r\n", "100%\n"},
		{"a shorter text leaves the rest", "abcdef\rxy\n", "xycdef\n"},
		{"a shorter text with blanks", "Downloading\rdone       \n", "done\n"},
		{"a shorter text that erases", "Downloading\rdone\x1b[K\n", "done\n"},
		{"the line erased", "Downloading\x1b[2K\x1b[1Gdone\n", "done\n"},
		{"erased to the start, nothing after", "Downloading\r\x1b[K\n", "\n"},
		{"other scripts overwritten", "失败了\r成\n", "成败了\n"},
		{"backspace", "|\b/\b-\b \bdone\n", "done\n"},
		{"backspace at the start", "\b\bx\n", "x\n"},

		{"control characters", "a\x00b\x01c\x7fd\vf\f\u0085\n", "abcdf\n"},
		{"not UTF-8", "M\xfcller \xff\xfe\xfd.\n", "M\ufffdller \ufffd.\n"},
		{"UTF-8 cut off", "ab\xe5\xa4", "ab\ufffd"},
		{"another encoding is no sequence", "\xb4\x9b\xce\xf3 ok\n", "\ufffd ok\n"},

		{"section", "section_start:1560896352:get_sources\r\x1b[0K\x1b[36;1mGetting source\x1b[0;m\n", "Getting source\n"},
		{"section with options", "\x1b[0Ksection_start:1560896352:a-b.c_1[hide_duration=true,collapsed=true]\r\x1b[0KTitle\n", "Title\n"},
		{"sections, one after another", "\x1b[0Ksection_end:1560896353:a\r\x1b[0K\x1b[0Ksection_start:1560896353:b\r\x1b[0KTitle\n", "Title\n"},
		{"a line of nothing else", "a\nsection_end:1560896353:a\r\x1b[0K\nb\n", "a\nb\n"},
		{"section in a line", "asection_end:1560896353:x\r\x1b[0Kb\n", "a\nb\n"},
		{"section in the shell", "$ echo \"section_start:`date +%s`:x\\r\"\n", "$ echo \"section_start:`date +%s`:x\\r\"\n"},
		{"no section", "section_start:x:y\rz\n", "zection_start:x:y\n"},

		{"timestamps", stamp + "a\n2024-05-22T12:43:47.000000Z 01E b\n", "a\nb\n"},
		{"timestamp of an empty line", stamp + "\n" + strings.TrimSpace(stamp) + "\nx", "\n\nx"},
		{"a line in pieces", stamp + "a\n2024-05-22T12:43:47.000000Z 01O+b\n2024-05-22T12:43:48.000000Z 01O+c\n" + stamp + "d\n", "abc\nd\n"},
		{"a sequence in pieces", stamp + "a\x1b[3\n2024-05-22T12:43:47.000000Z 00O+1mb\x1b[0m\n", "ab\n"},
		{"a character in pieces", stamp + "\xe5\xa4\n2024-05-22T12:43:47.000000Z 00O+\xb1\n", "失\n"},
		{"a section with timestamps", stamp + "section_start:1560896352:x\r\x1b[0KTitle\n", "Title\n"},
		{"progress with timestamps", stamp + "10%\r" + stamp + "100%\n", "100%\n"},
		{"a time of the job's own", "2024-05-22T12:43:46.962646Z INFO up\n", "2024-05-22T12:43:46.962646Z INFO up\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, joblog.Clean(c.in)); diff != "" {
				t.Errorf("Clean(%q): -want +got\n%s", c.in, diff)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{
		"\x1b[31mred\x1b[0m\n", "a\rb\b\x1b[K\x1b[2Kc", "section_start:1:a[b=c]\r\x1b[0Kx\n",
		stamp + "a\n" + stamp[:31] + "+b\n", "\x00" + stamp + stamp + "x", "\x9d0;a\x9c\xff\xfe", "\x1b]8;;\x1b\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := joblog.Clean(s)
		if !utf8.ValidString(once) {
			t.Errorf("Clean(%q) is not UTF-8: %q", s, once)
		}
		if i := strings.IndexFunc(once, func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0
		}); i >= 0 {
			t.Errorf("Clean(%q) has a control character: %q", s, once)
		}
		if twice := joblog.Clean(once); twice != once {
			t.Errorf("cleaned once: %q, twice: %q", once, twice)
		}
	})
}

// aLog returns a log of 1 MiB with the lines of a typical build.
func aLog(format string) string {
	var b strings.Builder
	for i := 0; b.Len() < 1<<20; i++ {
		fmt.Fprintf(&b, format, i%60, i)
	}
	return b.String()[:1<<20]
}

func BenchmarkClean(b *testing.B) {
	for _, c := range []struct{ name, format string }{
		{"plain", "12:00:%02d step %d of the build; no errors, 3 warnings =====\n"},
		{"colours", "\x1b[32;1m12:00:%02d\x1b[0;m step \x1b[36m%d\x1b[0m of the build; no errors, 3 warnings\n"},
		{"timestamps", "2024-05-22T12:43:%02d.962646Z 00O step %d of the build; no errors, 3 warnings\n"},
		{"progress", "12:00:%02d 10%% of %d \r12:00:00 50%% of the whole \r12:00:00 100%% of all that is\n"},
	} {
		text := aLog(c.format)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				joblog.Clean(text)
			}
		})
	}
}
