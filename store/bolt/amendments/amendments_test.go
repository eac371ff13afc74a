package amendments_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/amendments"
)

// TestKeepsTheLast: after each mark, a feed has all amendments or says that it has not.
func TestKeepsTheLast(t *testing.T) {
	const most = 3
	f := amendments.New(most)
	ids := []string{"a", "b", "a", "c", "d", "e", "f", "a"}
	var marks []string // the mark before each amendment
	for i := range ids {
		_, mark, err := f.After("", 10)
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, mark)
		f.Add(ids[i : i+1])
		for from, mark := range marks {
			got, next, err := f.After(mark, 10)
			switch kept := i+1-from <= most; {
			case kept && (err != nil || !slices.Equal(got, ids[from:i+1])):
				t.Errorf("after %q: %q, %v, want %q", mark, got, err, ids[from:i+1])
			case !kept && !errors.Is(err, store.ErrAmendmentsMissed):
				t.Errorf("after %q, which is forgotten: %q, %v", mark, got, err)
			case kept:
				if more, last, err := f.After(next, 10); len(more) > 0 || last != next || err != nil {
					t.Errorf("after all: %q, %q, %v", more, last, err)
				}
			}
		}
	}
}
