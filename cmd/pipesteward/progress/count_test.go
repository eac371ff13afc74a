package progress

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// screen is a simulated terminal.
type screen struct {
	mu      sync.Mutex
	columns int
	lines   []string // the cursor is at the end of the line number row
	row     int
	drawn   int // how often something was written
}

// sequence matches a control sequence, or a character.
var sequence = regexp.MustCompile(`(?s)\x1b\[[0-9;]*[A-Za-z]|.`)

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn++
	for _, part := range sequence.FindAllString(string(b), -1) {
		switch {
		case strings.HasSuffix(part, "A") && strings.HasPrefix(part, "\x1b"):
			s.row = max(0, s.row-1)
		case strings.HasSuffix(part, "K") && strings.HasPrefix(part, "\x1b"):
			s.lines[s.row] = ""
		case strings.HasPrefix(part, "\x1b"):
		case part == "\n":
			s.down()
		default:
			s.at()
			if len([]rune(s.lines[s.row])) == s.columns {
				s.down()
			}
			s.at()
			s.lines[s.row] += part
		}
	}
	return len(b), nil
}

func (s *screen) down() {
	s.row++
	s.at()
}

// at makes the line of the cursor.
func (s *screen) at() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(strings.Join(s.lines, "\n"))
}

func (s *screen) draws() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn
}

// TestBarGoes: a bar takes one line while it is drawn, on a narrow terminal, too, and none
// at its end, also where nothing was done; what was said stays.
func TestBarGoes(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{40, 80} {
		for _, done := range []int{0, 3} {
			t.Run(fmt.Sprintf("%d columns, %d done", columns, done), func(t *testing.T) {
				t.Parallel()
				s := &screen{columns: columns}
				c := NewCount(s, columns, "webhooks of")
				for i := range done {
					c.Done(i+1, 5000, "platform/backend/services/checkout-"+strconv.Itoa(i))
					before := s.draws()
					await.Until(t, "the bar is drawn", func() bool { return s.draws() > before })
				}
				if text := s.text(); strings.Contains(text, "\n") {
					t.Errorf("the bar takes more than a line:\n%s", text)
				}
				if done > 0 {
					c.Say("waits for 5s")
				}
				c.End()
				if text := s.text(); text != map[bool]string{true: "waits for 5s"}[done > 0] {
					t.Errorf("at its end the terminal has:\n%s", text)
				}
			})
		}
	}
}
