package page

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// eventStream is the media type that an EventSource accepts.
const eventStream = "text/event-stream"

const (
	// liveEvery is how long after it was read a view is read again for a browser that follows
	// it; longer where reading takes long, of which a stream has one part in liveShare.
	liveEvery = 2 * time.Second
	liveShare = 20
	// liveFor is how long a stream lasts. The browser then opens another one, which checks
	// again who it is; and the write timeout of the server is longer.
	liveFor = 20 * time.Second
	// maxStreams bounds how many browsers follow views at a time: each reads the store.
	maxStreams = 50
)

// stream sends what is live on a view as server-sent events, each time that it differs: the
// event "state" with the state of the server, and the event "view" with that of the view. Ids
// are digests of what was sent, so a browser that comes back gets only what is new.
func (p *Page) stream(r *request, v *view) error {
	select {
	case p.live <- struct{}{}:
		defer func() { <-p.live }()
	default:
		return r.c.NoContent(http.StatusServiceUnavailable)
	}
	header := r.c.Response().Header()
	header.Set(echo.HeaderContentType, eventStream)
	header.Set(echo.HeaderCacheControl, "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would keep events back
	ctx := r.c.Request().Context()
	end := time.NewTimer(liveFor)
	defer end.Stop()
	last := r.c.Request().Header.Get("Last-Event-ID")
	for {
		began := p.Now()
		s, err := p.read(r, v)
		if err != nil {
			return nil // the browser comes again
		}
		if last, err = send(r.c.Response(), s, last); err != nil {
			return nil // the browser has gone
		}
		select {
		case <-time.After(max(liveEvery, liveShare*p.Now().Sub(began))):
		case <-end.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// send sends the events of a view unless they have the id of the last ones, and returns
// their id.
func send(w *echo.Response, s *shown, last string) (id string, err error) {
	state, err := render(s, "state")
	if err != nil {
		return "", err
	}
	live, err := render(s, "live")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(slices.Concat(state, live))
	id = hex.EncodeToString(sum[:8])
	text := ": unchanged\n\n"
	if id != last {
		text = "id: " + id + "\nevent: state\n" + dataLines(string(state)) + "\nid: " + id + "\nevent: live\n" + dataLines(string(live)) + "\n"
	}
	if _, err = w.Write([]byte(text)); err == nil {
		err = http.NewResponseController(w).Flush()
	}
	return id, err
}

// dataLines returns a text as the data of an event.
func dataLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
	}
	return b.String()
}
