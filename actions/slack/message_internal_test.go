package slack

import (
	"strconv"
	"testing"
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
