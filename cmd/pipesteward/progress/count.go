package progress

import (
	"fmt"
	"io"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Count shows how many of some things are done: by a bar on a terminal, and else by a line
// every few seconds. It is for one goroutine.
type Count struct {
	what  string
	out   io.Writer
	shown time.Time // when the last line was written

	bars    *bars // nil: lines
	tracker *pretty.Tracker
}

// NewCount returns a Count on stderr, a terminal of so many columns, or none, with 0; what
// stands before the name of the last thing, like "webhooks of".
func NewCount(stderr io.Writer, columns int, what string) *Count {
	c := &Count{what: what, out: stderr, shown: time.Now()}
	if columns == 0 {
		return c
	}
	c.bars = newBars(stderr, columns)
	c.bars.Style().Options.KeepTrackersTogether = true // at its end, what was said stands above it
	c.tracker = &pretty.Tracker{Message: what + " …", AutoStopDisabled: true}
	c.bars.AppendTracker(c.tracker)
	c.bars.start()
	return c
}

// Done shows that so many are done, the last of them name.
func (c *Count) Done(done, of int, name string) {
	if c.bars != nil {
		c.tracker.UpdateTotal(int64(of))
		c.tracker.SetValue(int64(done))
		c.tracker.UpdateMessage(c.what + " " + shortened(name))
		return
	}
	if now := time.Now(); now.Sub(c.shown) >= linesEach {
		c.shown = now
		fmt.Fprintf(c.out, "%d of %d: %s %s\n", done, of, c.what, name)
	}
}

// Say shows a line of text.
func (c *Count) Say(line string) {
	if c.bars != nil {
		c.bars.Log("%s", line)
		return
	}
	fmt.Fprintln(c.out, line)
}

// End ends the display. The bar goes: what comes of the command says what was done.
func (c *Count) End() {
	if c.bars == nil {
		return
	}
	c.tracker.MarkAsDone()
	c.bars.stop()
	fmt.Fprint(c.out, text.CursorUp.Sprint(), text.EraseLine.Sprint())
}

// maxName is how many characters of a name fit beside a bar in 80 columns.
const maxName = 24

func shortened(name string) string {
	if runes := []rune(name); len(runes) > maxName {
		return "…" + string(runes[len(runes)-maxName+1:])
	}
	return name
}
