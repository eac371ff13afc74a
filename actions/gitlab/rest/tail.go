package rest

import "strings"

// Tail is a writer that keeps the end of what is written to it. Call fills it
// with the end of a log, see Request.Tail.
type Tail struct {
	limit int // bytes
	ring  []byte
	next  int // where the ring's oldest byte is, once it is full
	read  int64
}

// Write keeps p's end; it never fails.
func (t *Tail) Write(p []byte) (int, error) {
	written := len(p)
	t.read += int64(written)
	free := min(t.limit-len(t.ring), len(p))
	t.ring = append(t.ring, p[:free]...)
	for p = p[free:]; len(p) > 0; {
		n := copy(t.ring[t.next:], p)
		t.next = (t.next + n) % t.limit
		p = p[n:]
	}
	return written, nil
}

// Text returns the kept end as valid UTF-8. Cut reports whether more was written,
// or was not read because of MaxLog.
func (t *Tail) Text() (text string, cut bool) {
	text = string(t.ring[t.next:]) + string(t.ring[:t.next])
	return strings.ToValidUTF8(text, ""), t.read > int64(t.limit) || t.read >= MaxLog
}
