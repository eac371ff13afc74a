package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/progress"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

// backtestProgress shows how far a backtest is. Its methods may be called by several
// goroutines.
type backtestProgress struct {
	mu     sync.Mutex
	stderr io.Writer
	anew   int    // how many files of the cache could not be used
	first  string // of these, and why
	what   string
	count  *progress.Count // nil: nothing is shown
}

func newBacktestProgress(stderr io.Writer) *backtestProgress {
	return &backtestProgress{stderr: stderr}
}

// read shows that the jobs of a project are read back to a time.
func (p *backtestProgress) read(project string, from, back time.Time) {
	hours := func(until time.Time) int { return max(0, int(time.Since(until)/time.Hour)) }
	p.done("hours of", min(hours(back), hours(from)), hours(from), project)
}

// evaluated shows that rules were evaluated on events, or that logs were read.
func (p *backtestProgress) evaluated(what string, done, of int) {
	switch what {
	case "events":
		p.done("rules over", done, of, what)
	case "logs":
		p.done("logs of", done, of, "failures")
	default:
		p.done("logs of jobs", done, of, "that passed")
	}
}

func (p *backtestProgress) done(what string, done, of int, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what != what {
		if p.count != nil {
			p.count.End()
		}
		p.what, p.count = what, progress.NewCount(p.stderr, wrap.Columns(p.stderr), what)
	}
	p.count.Done(done, of, name)
}

func (p *backtestProgress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line = printable(line); p.count != nil {
		p.count.Say(line)
		return
	}
	fmt.Fprintln(p.stderr, line)
}

// unusable counts a file of the cache that is read anew from GitLab.
func (p *backtestProgress) unusable(file string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.anew++; p.anew == 1 {
		p.first = fmt.Sprintf("%s %v", file, why)
	}
}

// end ends what is shown, and says once which files of the cache could not be used.
func (p *backtestProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count != nil {
		p.count.End()
		p.count = nil
	}
	if p.anew > 0 {
		fmt.Fprintf(p.stderr, "%s of the cache could not be used, and what %s had is read anew from GitLab. The first: %s\n",
			english.Plural(p.anew, "file", ""), english.PluralWord(p.anew, "it", "they"), printable(p.first))
	}
}
