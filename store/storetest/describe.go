package storetest

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/store"
)

// testDescribe wants a description that names backend and place and that grows with what
// is stored.
func testDescribe(t *testing.T, f *fixture) {
	before, err := f.Describe(t.Context())
	if err != nil || before.Backend == "" || before.Place == "" || before.Used <= 0 {
		t.Errorf("%+v, %v", before, err)
	}
	if _, err := f.Put(t.Context(), store.Record{ID: "large", Body: []byte(strings.Repeat("x", 1<<20))}); err != nil {
		t.Fatal(err)
	}
	after, err := f.Describe(t.Context())
	if err != nil || after.Used < before.Used+1<<19 {
		t.Errorf("after 1 MiB more it uses %d bytes, before %d (%v)", after.Used, before.Used, err)
	}
}
