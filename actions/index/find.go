package index

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unique"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// Find returns the entries of the newest decisions that a query selects and that follow its
// cursor, and the cursor of the next page, "" at the end. It finds all that was added or
// amended before the call. Where the index does not reach, a page may have fewer entries
// than the limit, or none, and yet have a next one. Its error is one of the store
// or of ctx; store.ErrBadCursor for a cursor that is none.
func (x *Index) Find(ctx context.Context, q event.DecisionQuery) (found []store.Entry, next string, err error) {
	before, err := store.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	if err := x.refresh(ctx); err != nil {
		return nil, "", err
	}
	f := newFilter(q)
	for {
		want := q.Limit - len(found)
		heads, rest, ended := x.matching(f, before, want+1) // one more, which shows whether there are more
		more := len(heads) > want
		heads = heads[:min(len(heads), want)]
		some, err := x.read(ctx, f, heads)
		if err != nil {
			return nil, "", err
		}
		found = append(found, some...)
		switch {
		case more && len(found) == q.Limit:
			return found, found[len(found)-1].Cursor(), nil
		case more: // some were amended meanwhile, or have expired
			before = heads[len(heads)-1].seq
		case ended:
			return found, "", nil
		default:
			return x.scan(ctx, f, found, rest)
		}
	}
}

// matching returns up to n of the heads that match and that are older than the place before,
// 0 for all, newest first. If there are fewer, ended reports that there are no more in the
// journal; else those that are older than the place rest are not in the index.
func (x *Index) matching(f *filter, before uint64, n int) (heads []head, rest uint64, ended bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.built {
		return nil, before, false
	}
	from := len(x.heads)
	if before != 0 {
		from = sort.Search(len(x.heads), func(i int) bool { return x.heads[i].seq >= before })
	}
	for i := from - 1; i >= 0; i-- {
		h := &x.heads[i]
		if h.at < f.since {
			return heads, 0, true
		}
		if !f.matches(h) {
			continue
		}
		if heads = append(heads, *h); len(heads) == n {
			break
		}
	}
	rest = before
	if from > 0 {
		rest = x.heads[0].seq
	}
	return heads, rest, x.whole
}

// read reads the entries of heads, and returns those that still match.
func (x *Index) read(ctx context.Context, f *filter, heads []head) (found []store.Entry, err error) {
	if len(heads) == 0 {
		return nil, nil
	}
	ids, places := make([]string, len(heads)), map[uint64]bool{}
	for i, h := range heads {
		ids[i], places[h.seq] = h.id, true
	}
	entries, err := x.Journal.EntriesOf(ctx, ids...)
	for _, e := range entries {
		// An entry that has expired may have been added again, and has another place then.
		if h, ok := x.headOf(e); ok && places[e.Seq] && f.matches(&h) {
			found = append(found, e)
		}
		delete(places, e.Seq)
	}
	return found, err
}

// scan adds to found the entries that match and are older than the place before, 0 for all,
// as it reads them from the journal.
func (x *Index) scan(ctx context.Context, f *filter, found []store.Entry, before uint64) (_ []store.Entry, next string, err error) {
	if before != 0 {
		next = store.Entry{Seq: before}.Cursor()
	}
	for n, scanned := f.Limit, 0; len(found) < f.Limit && scanned < maxScan; n = pageSize {
		entries, following, err := x.Journal.Entries(ctx, next, n)
		if err != nil {
			return nil, "", err
		}
		for i, e := range entries {
			if e.At.UnixMicro() < f.since {
				return found, "", nil
			}
			h, ok := x.headOf(e)
			if !ok || !f.matches(&h) {
				continue
			}
			if found = append(found, e); len(found) == f.Limit && (i+1 < len(entries) || following != "") {
				return found, e.Cursor(), nil
			}
		}
		if next = following; next == "" {
			return found, "", nil
		}
		scanned += len(entries)
	}
	return found, next, nil
}

// filter is a query, prepared for many heads.
type filter struct {
	event.DecisionQuery

	rule, verb, result, ref unique.Handle[string]

	since int64 // in microseconds since 1970
}

func newFilter(q event.DecisionQuery) *filter {
	f := &filter{DecisionQuery: q, rule: unique.Make(q.Rule), verb: unique.Make(q.Verb), result: unique.Make(q.Result), ref: unique.Make(q.Ref)}
	f.Text, f.since = strings.ToLower(q.Text), q.Since.UnixMicro()
	return f
}

var noResult = unique.Make("")

func (f *filter) matches(h *head) bool {
	return (f.Rule == "" || f.rule == h.rule || slices.Contains(h.alsoWantedBy, f.rule)) &&
		(f.Verb == "" || f.verb == h.verb) &&
		(f.Result == "" || f.result == h.result) &&
		(!f.Waiting || h.result == noResult) &&
		(f.Pipeline == 0 || f.Pipeline == h.pipeline) &&
		(f.Job == 0 || f.Job == h.job) &&
		(f.Ref == "" || f.ref == h.ref) &&
		(f.Project == "" || f.Project == strconv.FormatInt(h.projectID, 10) || event.MatchesProject(f.Project, h.project.Value())) &&
		(f.Text == "" || strings.Contains(h.text, f.Text))
}
