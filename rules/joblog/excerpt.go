package joblog

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

const (
	before  = 2   // lines of context before the error line
	longest = 300 // characters of a line
	ahead   = 80  // lines after a heading in which its message is searched for
)

// Excerpt returns the relevant lines of a log, at most the given number: from
// two lines before the first error line on or, if there is no error, the last
// lines of the job's script. Lines longer than 300 characters are cut. The
// text must have been cleaned and masked.
func Excerpt(text string, lines int) string {
	if lines <= 0 {
		return ""
	}
	l := split(text)
	scriptEnd := l.scriptEnd()
	at := l.errorLine(scriptEnd)
	from, to := max(0, scriptEnd-lines), scriptEnd
	if at >= 0 {
		from = max(0, at-min(before, lines-1))
		to = min(len(l), from+lines)
		if at < scriptEnd {
			to = min(to, scriptEnd)
		}
	}
	for from < to && strings.TrimSpace(l[from]) == "" {
		from++
	}
	for from < to && strings.TrimSpace(l[to-1]) == "" {
		to--
	}
	var b strings.Builder
	for i, line := range l[from:to] {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(shorten(strings.TrimRight(line, " \t")))
	}
	return b.String()
}

// shorten cuts a line to the maximum length.
func shorten(line string) string {
	if len(line) <= longest || utf8.RuneCountInString(line) <= longest {
		return line
	}
	n := 0
	for i := range line {
		if n++; n == longest {
			return line[:i] + "…"
		}
	}
	return line
}

// logLines are the lines of a log.
type logLines []string

func split(text string) logLines {
	if text = strings.TrimRight(text, " \t\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// postScript are the headings of the steps of the runner after the job's
// script.
var postScript = []string{"Running after_script", "Saving cache for ", "Uploading artifacts for ", "Cleaning up project directory"}

// scriptEnd returns the number of lines up to the end of the job's script.
func (l logLines) scriptEnd() int {
	n := slices.IndexFunc(l, func(line string) bool { return hasAnyPrefix(line, postScript) })
	if n < 0 {
		n = len(l)
	}
	for n > 0 && (strings.TrimSpace(l[n-1]) == "" || isRunners(l[n-1])) {
		n--
	}
	if n == 0 {
		return len(l)
	}
	return n
}

// errorLine returns the index of the first line that reports an error: a line
// with the format of a tool's error, otherwise a fault that the runner
// reports, otherwise a line with a word for an error. It is -1 if there is
// none. scriptEnd is the end of the job's script: errors after it do not fail
// the job, except for an upload.
func (l logLines) errorLine(scriptEnd int) int {
	wordy := -1
	for i, line := range l[:scriptEnd] {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || isEcho(line) || isRunners(trimmed) {
			continue
		}
		if at, ok := l.heading(i, trimmed); ok {
			return at
		}
		if harmlessLine(trimmed) {
			continue
		}
		if isShaped(trimmed) {
			return i
		}
		if wordy < 0 && isWordy(trimmed) {
			wordy = i
		}
	}
	if at := slices.IndexFunc(l, isRunnerFault); at >= 0 {
		return at
	}
	return wordy
}

// isRunnerFault reports whether the runner states in a line why the job
// failed, other than that its script failed.
func isRunnerFault(line string) bool {
	if rest, ok := strings.CutPrefix(line, "ERROR: Job failed"); ok {
		return strings.HasPrefix(rest, " (") || strings.HasPrefix(rest, ": ") && !strings.HasPrefix(rest, ": exit ")
	}
	return strings.HasPrefix(line, "ERROR: Uploading artifacts") || strings.HasPrefix(line, "FATAL: ")
}

// isEcho reports whether a line shows a command, as the runner and set -x
// print it.
func isEcho(line string) bool {
	return strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "+ ") || strings.HasPrefix(line, "++ ")
}

// runners are the prefixes of lines that the runner itself writes.
var runners = []string{
	"ERROR: Job failed", "Cleaning up project directory", "Uploading artifacts", "Running after_script", "Running after script",
	"Saving cache", "Creating cache", "Not uploading cache", "Failed to extract cache", "Checking cache", "Restoring cache",
	"WARNING: after_script failed", "ERROR: No files to upload", "No URL provided, cache will", "Job succeeded",
}

func isRunners(line string) bool { return hasAnyPrefix(line, runners) }

// hasAnyPrefix reports whether a line begins with one of the texts.
func hasAnyPrefix(line string, texts []string) bool {
	for _, t := range texts {
		if len(line) >= len(t) && line[0] == t[0] && line[:len(t)] == t {
			return true
		}
	}
	return false
}

// heading returns the index of the message below a heading at i, which is more
// informative than the heading.
func (l logLines) heading(i int, line string) (int, bool) {
	switch {
	case strings.HasPrefix(line, "Traceback (most recent call last)"):
		// The message is the first line that is indented no more than the
		// heading.
		indent := strings.Index(l[i], "Traceback")
		for at := i + 1; at < min(len(l), i+1+ahead); at++ {
			s := l[at]
			if strings.TrimSpace(s) != "" && len(s)-len(strings.TrimLeft(s, " ")) <= indent {
				return at, true
			}
		}
		return i, true
	case strings.HasPrefix(line, "FAILURE: Build failed"): // gradle
		for at := i + 1; at < min(len(l), i+1+ahead); at++ {
			if strings.HasPrefix(l[at], "* What went wrong") {
				return l.next(at), true
			}
		}
		return i, true
	case line == "* What went wrong:" || line == "Failures:": // gradle, rspec
		return l.next(i), true
	}
	return 0, false
}

// next returns the index of the next line that is not blank, or i if there is
// none.
func (l logLines) next(i int) int {
	for at := i + 1; at < len(l); at++ {
		if strings.TrimSpace(l[at]) != "" {
			return at
		}
	}
	return i
}

// errorPrefixes are the prefixes of errors of common tools, after blanks.
var errorPrefixes = []string{
	"--- FAIL", "panic: ", "fatal error: ", // go
	"E   ",                                                      // pytest
	"FAILED ",                                                   // pytest, ninja
	"npm ERR!", "npm error", "ERR_PNPM", "error Command failed", // npm, pnpm, yarn
	"[ERROR]",           // Maven
	"error:", "error[E", // Rust and many more
	"fatal: ", "FATAL: ", "FATAL ", // git, the runner
	"ERROR: ", "ERROR ", "Error: ", "Error response from daemon", "E: ",
	"│ Error: ", "╷ Error: ", // terraform
	"rspec ./",
	"curl: (", "wget: ",
	"Exception in thread ", "Caused by: ", "Unhandled exception", "Uncaught ",
	"Segmentation fault", "Killed", "Terminated", "Bus error", "Aborted",
	"make: *** ", "error during connect", "fatal: [", "Fatal error: ", "PHP Fatal error",
	"BUILD FAILED", "CMake Error", "FATAL EXCEPTION", "thread 'main' panicked",
}

// errorTexts are texts in the errors of common tools.
var errorTexts = []string{
	": command not found", ": not found\x00", "No space left on device", "Permission denied", "No such file or directory",
	": error: ", ": fatal error: ", "): error ", ": error TS", " error TS", ": error CS", "undefined reference to",
	"toomanyrequests", "pull rate limit", "failed to solve:", "Cannot connect to the Docker daemon",
	"OOMKilled", "ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "Failed to pull image",
	"segmentation fault", "Segmentation fault", "SIGSEGV", "core dumped", "signal: killed", "Out of memory", "out of memory", "OutOfMemoryError",
	"' panicked at ", "Connection refused", "connection refused", "Could not resolve host", "i/o timeout", "TLS handshake timeout",
	"Temporary failure in name resolution", " Killed\x00", " Killed  ", "ERR_PNPM", "ECONNRESET", "ETIMEDOUT", "ENOTFOUND", "ENOSPC",
	"ERROR! ",
}

// isShaped reports whether a line has the format of a tool's error. The line
// must be trimmed, and must not be harmless.
func isShaped(line string) bool {
	if hasAnyPrefix(line, errorPrefixes) {
		return true
	}
	if strings.HasPrefix(line, "● ") {
		return !strings.HasPrefix(line, "● Console") // a heading that jest prints above the output of tests
	}
	for _, p := range errorTexts {
		if end, ok := strings.CutSuffix(p, "\x00"); ok {
			if strings.HasSuffix(line, end) {
				return true
			}
		} else if strings.Contains(line, p) {
			return true
		}
	}
	return positioned(line) != "" || isException(line)
}

// positioned returns the message of a compiler or linter about a position in a
// file: for dir/file.go:12:3: undefined: x, it is undefined: x. It is empty
// for other lines.
func positioned(line string) string {
	file, rest, ok := strings.Cut(line, ":")
	if !ok || strings.ContainsAny(file, " \t(") || !strings.Contains(file, ".") {
		return ""
	}
	for range 2 {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) || rest[digits] != ':' {
			return ""
		}
		rest = rest[digits+1:]
	}
	return strings.TrimSpace(rest)
}

// mildMessages are the prefixes of messages about a position that are not
// errors.
var mildMessages = []string{"warning", "note", "info", "remark", "style"}

// isException reports whether a line begins with an exception's name:
// java.lang.IllegalStateException: message.
func isException(line string) bool {
	name, rest, _ := strings.Cut(line, ":")
	if strings.ContainsAny(name, " /=") || rest != "" && rest[0] != ' ' {
		return false
	}
	return len(name) > len("Error") && (strings.HasSuffix(name, "Error") || strings.HasSuffix(name, "Exception")) && ascii.IsUpper(name[strings.LastIndexByte(name, '.')+1])
}

// harmlessPrefixes are the prefixes of lines that report no error.
var harmlessPrefixes = []string{
	"WARNING", "Warning", "warning", "WARN", "npm warn", "npm WARN", "DEBUG", "INFO", "[INFO]", "[WARN", "[DEBUG]", "ok ", "PASS", "--- PASS", "✓", "✔", "√", "# ",
}

// harmlessLine reports whether a line states that it is no error: a warning, a
// passed test, or a count of zero.
func harmlessLine(line string) bool {
	if hasAnyPrefix(line, harmlessPrefixes) {
		// The runner reports the reason why it can't pull an image as a
		// warning.
		return !strings.HasPrefix(line, "WARNING: Failed to pull image")
	}
	if message := positioned(line); message != "" && hasAnyPrefix(message, mildMessages) {
		return true
	}
	return strings.HasSuffix(line, " ... ok") || strings.HasSuffix(line, " PASSED") || isNone(line)
}

// errorNames are the words for an error, in lower case.
var errorNames = []string{
	"error", "errors", "failed", "failure", "failures", "fatal", "exception", "panic", "cannot", "unable", "denied",
	"refused", "timeout", "aborted", "crashed", "unauthorized", "forbidden", "invalid", "missing",
}

// isNone reports whether a line states that there are no errors, and mentions
// no others: 0 errors, error: none, failed=0.
func isNone(line string) bool {
	some, none := errorWords(line)
	return none && !some
}

// isWordy reports whether a line contains a word for an error.
func isWordy(line string) bool {
	some, _ := errorWords(line)
	return some
}

// errorWords searches a line for the words for an error. It reports whether
// some of them state an error, and whether some of them state that there is
// none. Words that are parts of names, as in error_handler.rb, -Werror and
// if-error, do not count.
func errorWords(line string) (some, none bool) {
	for i := 0; i < len(line); {
		if !ascii.IsNameByte(line[i]) && line[i] != '/' {
			i++
			continue
		}
		from := i
		for i < len(line) && (ascii.IsNameByte(line[i]) || line[i] == '/') {
			i++
		}
		word := strings.TrimRight(line[from:i], ".")
		if len(word) < len("error") || len(word) > len("unauthorized") {
			continue
		}
		if !slices.ContainsFunc(errorNames, func(f string) bool { return len(word) == len(f) && strings.EqualFold(word, f) }) {
			continue
		}
		if saysNone(line[:from], line[i:]) {
			none = true
		} else {
			some = true
		}
	}
	return some, none
}

// saysNone reports whether the texts around a word for errors state that there
// are none.
func saysNone(before, after string) bool {
	before = strings.ToLower(strings.TrimRight(before[max(0, len(before)-12):], " \t([{"))
	for _, no := range []string{"no", "0", "without", "zero", "any"} {
		if rest, ok := strings.CutSuffix(before, no); ok && (rest == "" || !ascii.IsAlnum(rest[len(rest)-1]) && !strings.HasSuffix(rest, ".")) {
			return true
		}
	}
	after = strings.ToLower(strings.TrimLeft(after[:min(len(after), 24)], " \t\"':=)"))
	for _, no := range []string{"0", "none", "null", "nil", "false", "undefined", "[]"} {
		if rest, ok := strings.CutPrefix(after, no); ok {
			if rest = strings.TrimLeft(rest, "\"'"); rest == "" || strings.IndexByte(",;)}|", rest[0]) >= 0 || no == "0" && rest[0] == ' ' {
				return true
			}
		}
	}
	return false
}
