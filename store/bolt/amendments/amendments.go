// Package amendments remembers in memory which entries of the journal were amended last.
package amendments

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/pipesteward/pipesteward/store"
)

// Feed is the list of the last amendments. It is safe for concurrent use.
type Feed struct {
	of   string // begins the marks of this feed, which those of another one do not match
	most int

	mu    sync.Mutex
	ids   []string // of the entries that the last amendments were of; a ring, once it is full
	count uint64   // how many amendments there ever were
}

// New returns a feed of the last amendments, so many at most.
func New(most int) *Feed { return &Feed{of: rand.Text() + "-", most: most} }

// Add adds amendments of the entries with the ids.
func (f *Feed) Add(ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if len(f.ids) < f.most {
			f.ids = append(f.ids, id)
		} else {
			f.ids[f.count%uint64(f.most)] = id
		}
		f.count++
	}
}

// After returns the ids of up to n amendments after a mark, as Amended of store.Journal does.
func (f *Feed) After(mark string, n int) (ids []string, next string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if mark == "" {
		return nil, f.mark(f.count), nil
	}
	number, ofThis := strings.CutPrefix(mark, f.of)
	from, err := strconv.ParseUint(number, 10, 64)
	if !ofThis || err != nil || from > f.count || f.count-from > uint64(len(f.ids)) {
		return nil, "", store.ErrAmendmentsMissed
	}
	for ; from < f.count && len(ids) < n; from++ {
		ids = append(ids, f.ids[from%uint64(f.most)])
	}
	return ids, f.mark(from), nil
}

// mark returns the mark that so many amendments precede.
func (f *Feed) mark(count uint64) string { return fmt.Sprint(f.of, count) }
