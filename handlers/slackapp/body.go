package slackapp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// maxBody is the largest body that is read, in bytes. A press has the message with the
	// button, whose blocks Slack limits to about 13 KB, encoded twice.
	maxBody = 128 << 10
	// bodiesAtOnce is how many bodies are in memory at a time: anybody can send one, because
	// a signature can be checked only when the body is there.
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

// bodies bounds the memory of the bodies of requests.
type bodies struct {
	reading chan struct{}
	wait    time.Duration
}

// acquire reserves the memory of a body. It waits for none: Slack doesn't either.
func (b bodies) acquire() (release func(), err error) {
	select {
	case b.reading <- struct{}{}:
		return func() { <-b.reading }, nil
	default:
		return nil, errCrowded
	}
}

// read reads the body of a request.
func (b bodies) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	conn := http.NewResponseController(w)
	interrupt := time.AfterFunc(b.wait, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // else the server's own deadline ends it
	defer interrupt.Stop()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow
	case err != nil:
		return nil, errCutOff
	}
	return body, nil
}
