package handlers

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// maxSmall is the largest body, in bytes, that waits for no other: a
	// Pipeline Hook of some 400 jobs. Its buffer is kept for the next one.
	maxSmall = 256 << 10
	// largeBodies is how many bodies of the full size may be at hand at a time.
	// While one is worked on, it is there about four times.
	largeBodies = 2
	// unprovenRoom is what small bodies may take together, in bytes, while
	// nobody knows who sent them: a signature covers the whole body.
	unprovenRoom = 32 << 20
)

var (
	errTooLarge = errors.New("the body is larger than a delivery of GitLab can be")
	errCutOff   = errors.New("the body ended before its end: send it again")
	errCrowded  = errors.New("more comes in at once than there is memory for: send it again later")
)

// bodies reads the bodies of deliveries, and bounds the memory they take.
type bodies struct {
	max      int64         // of one, in bytes
	patience time.Duration // how long one waits for room
	kept     sync.Pool     // of *body
	large    room
	unproven room
}

// body is what was read, and the room it takes until it is released.
type body struct {
	buf   bytes.Buffer
	taken []part
}

type part struct {
	room *room
	size int64
}

func newBodies(largest int64, patience time.Duration) *bodies {
	return &bodies{
		max:      largest,
		patience: patience,
		kept:     sync.Pool{New: func() any { return new(body) }},
		large:    room{free: largeBodies * largest},
		unproven: room{free: unprovenRoom},
	}
}

// read reads the body, of whatever length it claims to be. proven says that
// its sender has a right to send it; else it may be anybody. Errors:
// errTooLarge, errCutOff, errCrowded. The body is to be released, and nothing
// may refer to it then.
func (b *bodies) read(c echo.Context, proven bool) (*body, error) {
	in := b.kept.Get().(*body)
	if err := b.fill(in, c, proven); err != nil {
		b.release(in)
		return nil, err
	}
	return in, nil
}

func (b *bodies) fill(in *body, c echo.Context, proven bool) error {
	r := c.Request()
	announced := max(r.ContentLength, 0) // 0: unknown, or nothing
	if announced > b.max {
		return errTooLarge
	}
	all := http.MaxBytesReader(c.Response(), r.Body, b.max)
	if announced > maxSmall {
		return b.fillLarge(in, r, all, announced)
	}
	if !proven && !in.take(r, &b.unproven, cmp.Or(announced, maxSmall), b.patience) {
		return errCrowded
	}
	err := in.readFrom(io.LimitReader(all, maxSmall+1), announced)
	if err != nil || in.buf.Len() <= maxSmall {
		return err
	}
	return b.fillLarge(in, r, all, b.max)
}

func (b *bodies) fillLarge(in *body, r *http.Request, all io.Reader, size int64) error {
	if !in.take(r, &b.large, size, b.patience) {
		return errCrowded
	}
	return in.readFrom(all, size-int64(in.buf.Len()))
}

// take takes a part of a room, and tells whether it could.
func (in *body) take(r *http.Request, from *room, size int64, patience time.Duration) bool {
	if !from.enter(r.Context(), size, patience) {
		return false
	}
	in.taken = append(in.taken, part{from, size})
	return true
}

// readFrom reads on to the end, which the size helps to reach in one go.
func (in *body) readFrom(from io.Reader, size int64) error {
	in.buf.Grow(int(size) + bytes.MinRead)
	_, err := in.buf.ReadFrom(from)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	if err != nil {
		return errCutOff
	}
	return nil
}

// release gives up what the body takes.
func (b *bodies) release(in *body) {
	for _, t := range in.taken {
		t.room.leave(t.size)
	}
	in.taken = in.taken[:0]
	if in.buf.Cap() > 2*maxSmall {
		in.buf = bytes.Buffer{}
	}
	in.buf.Reset()
	b.kept.Put(in)
}
