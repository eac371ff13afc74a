package slack

import (
	"strconv"
	"testing"
	"time"
)

// TestManyPosts: the record of a message with many posts stays bounded, and knows the last
// ones.
func TestManyPosts(t *testing.T) {
	t.Parallel()
	m := &record{}
	const posts = 3 * maxPosted
	for i := range posts {
		m.Posting = &posting{ID: strconv.Itoa(i)}
		m.posted("C1", "1")
	}
	if len(m.Posted) != maxPosted || !m.has(strconv.Itoa(posts-1)) || !m.has(strconv.Itoa(posts-maxPosted)) {
		t.Errorf("of %d posts, %d are known", posts, len(m.Posted))
	}
}

// TestLineTogether: of a message that many pipelines share, the text with the greatest
// number stays, in whatever order they come.
func TestLineTogether(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	m := &record{}
	for i, c := range []struct{ refs, want int }{{1, 1}, {3, 3}, {2, 3}, {4, 4}} {
		m.Lines, m.Older = m.with(line{Refs: c.refs, At: start.Add(time.Duration(i) * time.Second)})
		if len(m.Lines) != 1 || m.Lines[0].Refs != c.want {
			t.Errorf("after %d: %+v, want one line of %d", c.refs, m.Lines, c.want)
		}
	}
}
