package slackapp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// maxBody is the largest body that is read, in bytes. A press has the message with the
	// button, whose blocks Slack limits to about 13 KB, encoded twice.
	maxBody = 128 << 10
	// bodiesAtOnce is how many bodies may arrive at a time: anybody can send one, because a
	// signature can be checked only when the body is there.
	bodiesAtOnce = 256
	// DefaultBodyWait is how long a body may take to arrive: Slack waits 3 s for the answer.
	DefaultBodyWait = 2 * time.Second
)

var (
	errTooLarge = fmt.Errorf("the body is larger than %d bytes, and no request of Slack is", maxBody)
	errCutOff   = errors.New("the body ended before its end: send it again")
	errSlow     = errors.New("the body arrives too slowly: send it again")
	errCrowded  = errors.New("more comes in at once than there is memory for: try again later")
)

// bodies bounds the memory of the bodies that arrive. Each new one is read at once: if there
// are too many, the one is dropped that has been arriving for the longest time. Slack's
// arrive within milliseconds, so that only senders of slow ones lose theirs.
type bodies struct {
	wait     time.Duration
	mu       sync.Mutex
	arriving []*arrival // in the order in which they began
}

// arrival is a body that is being received.
type arrival struct {
	interrupt func() // ends a read that waits for the sender
	dropped   error  // why it was interrupted
}

// begin begins to receive the body of a request. end must be called once it is read: it
// returns why the body was dropped, nil if it was not.
func (b *bodies) begin(conn *http.ResponseController) (end func() error) {
	a := &arrival{interrupt: func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }} // else the server's own deadline ends it
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.arriving) == bodiesAtOnce {
		b.drop(b.arriving[0], errCrowded)
	}
	b.arriving = append(b.arriving, a)
	slow := time.AfterFunc(b.wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.drop(a, errSlow)
	})
	return func() error {
		slow.Stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.remove(a)
		return a.dropped
	}
}

// drop interrupts a body, unless it has ended. b.mu is held.
func (b *bodies) drop(a *arrival, reason error) {
	if b.remove(a) {
		a.dropped = reason
		a.interrupt()
	}
}

// remove reports whether a body was arriving. b.mu is held.
func (b *bodies) remove(a *arrival) bool {
	i := slices.Index(b.arriving, a)
	if i >= 0 {
		b.arriving = slices.Delete(b.arriving, i, i+1)
	}
	return i >= 0
}

// read reads the body of a request.
func (b *bodies) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	end := b.begin(http.NewResponseController(w))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	dropped := end()
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case dropped != nil:
		return nil, dropped
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow // the server's own deadline, for the whole request
	}
	return nil, errCutOff
}
