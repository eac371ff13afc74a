package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// firstBuffer is the size of the buffer that each body starts in, in bytes: most
	// hooks fit.
	firstBuffer = 8 << 10
	// maxSmall is the largest small body, in bytes: a Pipeline Hook of about 400
	// jobs. Large bodies have a capacity of their own, so that they don't delay
	// small ones.
	maxSmall = 256 << 10
	// smallCapacity is the capacity for all small bodies, in bytes.
	smallCapacity = 16 << 20
	// begunCapacity is the capacity for the first maxSmall bytes of all larger bodies
	// of unproven senders, in bytes.
	begunCapacity = 8 << 20
	// growPatience is how long a small body waits for more capacity than it has:
	// others wait for that. It is long enough to measure which bodies are slow.
	growPatience = 2 * tick
	// largeBodies is how many bodies of the full size may be in memory at a time.
	// While one is decoded, it takes about four times its size.
	largeBodies = 2
)

var (
	errTooLarge = errors.New("the body is larger than a delivery of GitLab can be")
	errCutOff   = errors.New("the body ended before its end: send it again")
	errCrowded  = errors.New("more comes in at once than there is memory for: send it again later")
	errSlow     = errors.New("the body arrives too slowly: send it again")
)

// bodies reads the bodies of deliveries, and bounds the memory that they take. A
// sender is proven if its secret token is right: its Content-Length is trusted.
// Any other may be anybody, because a signature covers the whole body. Bodies of
// unproven senders have capacities of their own. They acquire as many bytes as
// have arrived, not as many as are announced; only a body of which maxSmall bytes
// have arrived acquires all that it needs, so that large ones don't wait for each
// other. Slow bodies are evicted while others wait for their capacity.
type bodies struct {
	max      int64         // of one, in bytes
	patience time.Duration // how long one waits for capacity
	kept     sync.Pool     // of *body
	proven   struct{ small, large *capacity }
	unproven struct {
		small *capacity
		begun *capacity // large ones up to maxSmall
		large *capacity
	}
	arrivals arrivals // of unproven senders
}

// body is a delivery's body, and the capacity that it has acquired until it is
// released.
type body struct {
	bytes []byte
	first [firstBuffer]byte
	from  *capacity // nil: none
	size  int64     // bytes acquired
}

func newBodies(largest int64, patience time.Duration) *bodies {
	b := &bodies{
		max:      largest,
		patience: patience,
		kept:     sync.Pool{New: func() any { return new(body) }},
		arrivals: arrivals{all: map[*arrival]struct{}{}},
	}
	b.proven.small, b.proven.large = newCapacity(smallCapacity), newCapacity(largeBodies*largest)
	b.unproven.small, b.unproven.begun, b.unproven.large = newCapacity(smallCapacity), newCapacity(begunCapacity), newCapacity(largeBodies*largest)
	return b
}

// read reads the body, whatever its Content-Length. Errors: errTooLarge, errCutOff,
// errCrowded, errSlow. The caller must release the body, and not use it after that.
func (b *bodies) read(c echo.Context, proven bool) (*body, error) {
	in := b.kept.Get().(*body)
	in.bytes = in.first[:0]
	if err := b.fill(in, c, proven); err != nil {
		b.release(in)
		return nil, err
	}
	return in, nil
}

func (b *bodies) fill(in *body, c echo.Context, proven bool) error {
	r := c.Request()
	if r.ContentLength > b.max {
		return errTooLarge
	}
	a := b.arrivals.begin(http.NewResponseController(c.Response()), proven)
	defer b.arrivals.end(a)
	if err := b.grow(r, in, a); err != nil {
		return err
	}
	from := http.MaxBytesReader(c.Response(), r.Body, b.max)
	for {
		if len(in.bytes) == cap(in.bytes) {
			if err := b.grow(r, in, a); err != nil {
				return err
			}
		}
		n, err := from.Read(in.bytes[len(in.bytes):cap(in.bytes)])
		in.bytes = in.bytes[:len(in.bytes)+n]
		a.arrived.Add(int64(n))
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return a.explain(err)
		}
	}
}

// grow enlarges the buffer once there is capacity for it.
func (b *bodies) grow(r *http.Request, in *body, a *arrival) error {
	most := r.ContentLength // -1: unknown
	if most < 0 {
		most = b.max
	}
	size := most
	if a.proven {
		if r.ContentLength < 0 && in.from == nil {
			size = min(maxSmall, most)
		}
		if err := b.takeProven(r.Context(), in, size, a); err != nil {
			return err
		}
	} else {
		var err error
		if size, err = b.takeUnproven(r.Context(), in, most, a); err != nil {
			return err
		}
	}
	if size >= most {
		size = most + 1 // one more byte, for the read that returns io.EOF
	}
	if int64(cap(in.bytes)) < size {
		in.bytes = append(make([]byte, 0, size), in.bytes...)
	}
	return nil
}

// takeProven acquires size bytes of the capacity of proven senders for the body.
// a is nil for a body that has arrived. The error is errCrowded.
func (b *bodies) takeProven(ctx context.Context, in *body, size int64, a *arrival) error {
	from := b.proven.small
	if size > maxSmall {
		from = b.proven.large
	}
	return in.take(from, size, func(more int64) bool { return wait(ctx, a, from, more, b.patience) })
}

// takeUnproven acquires the next part of the capacity of unproven senders for the
// body, and returns how many bytes the body has then. most is the largest size that
// the body may have. The error is errCrowded.
func (b *bodies) takeUnproven(ctx context.Context, in *body, most int64, a *arrival) (size int64, err error) {
	from, size, patience := b.unproven.small, int64(firstBuffer), b.patience
	if most > maxSmall {
		from = b.unproven.begun
	}
	switch {
	case in.from == nil:
	case in.size < maxSmall:
		size = min(2*in.size, most)
		patience = min(patience, growPatience)
	default:
		from, size = b.unproven.large, most
	}
	err = in.take(from, size, func(more int64) bool {
		b.arrivals.evict(from, more)
		return wait(ctx, a, from, more, patience)
	})
	if err == nil {
		a.takes(from, size)
	}
	return size, err
}

// take acquires size bytes of a capacity, in place of what the body has. wait
// acquires bytes that are not available at once, and reports whether it could.
func (in *body) take(from *capacity, size int64, wait func(more int64) bool) error {
	more := size
	if from == in.from {
		more -= in.size
	}
	if more > 0 && !from.TryAcquire(more) && !wait(more) {
		return errCrowded
	}
	if from != in.from {
		in.giveBack()
	}
	in.from, in.size = from, size
	return nil
}

// wait waits for bytes of a capacity, and reports whether it acquired them.
func wait(ctx context.Context, a *arrival, from *capacity, more int64, patience time.Duration) bool {
	if a != nil {
		a.pause()
		defer a.resume()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return from.Acquire(ctx, more) == nil
}

// prove is called when the signature of a body that has arrived is right: from now
// on the body has capacity of proven senders. The error is errCrowded.
func (b *bodies) prove(ctx context.Context, in *body) error {
	if in.from == b.proven.small || in.from == b.proven.large {
		return nil
	}
	return b.takeProven(ctx, in, int64(len(in.bytes)), nil)
}

// release releases the body's capacity.
func (b *bodies) release(in *body) {
	in.giveBack()
	in.bytes = nil
	b.kept.Put(in)
}

func (in *body) giveBack() {
	if in.from != nil {
		in.from.Release(in.size)
		in.from, in.size = nil, 0
	}
}
