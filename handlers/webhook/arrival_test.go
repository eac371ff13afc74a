package webhook_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const (
	tooSlow      = `{"error":"the body arrives too slowly: send it again"}`
	badSignature = `{"error":"the delivery's signature does not fit its body: compare the webhook's signing token in GitLab"}`
	// largestBody is the limit in these tests. Two such bodies may be in memory at
	// a time, of proven senders and of others.
	largestBody = 2 << 20
)

// newIntake returns a webhook that accepts signed deliveries and those with a
// secret token, in synctest's time.
func newIntake(t *testing.T) http.Handler {
	t.Helper()
	h, err := webhook.New(webhook.Config{
		Credentials: webhook.Credentials{Tokens: []string{secretToken}, SigningTokens: []string{signingToken}},
		Queue:       &memoryQueue{}, Rules: wants(all), GitLab: knownGitLab{}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), MaxBody: largestBody,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sending is a delivery whose body comes piece by piece. It is its own
// connection: a read deadline, which is always in the past here, ends its reads.
type sending struct {
	*httptest.ResponseRecorder
	pieces   chan []byte
	rest     []byte
	deadline chan struct{}
	once     sync.Once
	done     chan struct{} // closed when it is answered
}

func (s *sending) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		select {
		case piece, more := <-s.pieces:
			if !more {
				return 0, io.EOF
			}
			s.rest = piece
		case <-s.deadline:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *sending) SetReadDeadline(time.Time) error {
	s.once.Do(func() { close(s.deadline) })
	return nil
}

// begin begins a delivery of the announced size, -1 for an unknown one.
func begin(t *testing.T, h http.Handler, announced int64, header ...string) *sending {
	t.Helper()
	s := &sending{
		ResponseRecorder: httptest.NewRecorder(),
		pieces:           make(chan []byte, 1), deadline: make(chan struct{}), done: make(chan struct{}),
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path, s)
	r.ContentLength = announced
	r.Header.Set("Idempotency-Key", rand.Text())
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	go func() {
		defer close(s.done)
		h.ServeHTTP(s, r)
	}()
	return s
}

// send sends size blanks.
func (s *sending) send(size int) { s.pieces <- bytes.Repeat([]byte(" "), size) }

func (s *sending) isAnswered() bool {
	synctest.Wait()
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *sending) wants(t *testing.T, code int, answer string) {
	t.Helper()
	if !s.isAnswered() {
		t.Fatal("the delivery is not answered")
	}
	if got := strings.TrimSpace(s.Body.String()); s.Code != code || got != answer {
		t.Errorf("answer is %d %s, want %d %s", s.Code, got, code, answer)
	}
}

// unsigned returns the headers of a sender without credentials that looks like
// GitLab until its body has arrived.
func unsigned() []string {
	return []string{"webhook-id", rand.Text(), "webhook-timestamp", strconv.FormatInt(time.Now().Unix(), 10), "webhook-signature", "v1,AAAA"}
}

// deliverSigned sends a whole signed delivery of the size, and waits for its
// answer; it returns for how long.
func deliverSigned(t *testing.T, h http.Handler, size int) (*sending, time.Duration) {
	t.Helper()
	job := fixture(t, "job-failed.json")
	body := slices.Concat(job, bytes.Repeat([]byte(" "), size-len(job)))
	id, began := rand.Text(), time.Now()
	s := begin(t, h, int64(size), "webhook-id", id, "webhook-timestamp", strconv.FormatInt(began.Unix(), 10),
		"webhook-signature", sign(signingToken, id, began.Unix(), body))
	s.pieces <- body
	close(s.pieces)
	<-s.done
	return s, time.Since(began)
}

// A sender without credentials can announce any size: signed deliveries and those
// with the right token are not delayed, the largest included.
func TestAnnouncedBodiesDelayNobody(t *testing.T) {
	for _, c := range []struct {
		name        string
		connections int
		announced   int64
	}{
		{"128 that announce 256 KiB", 128, 256 << 10},
		{"two that announce the most", 2, largestBody},
		{"500 that announce the most", 500, largestBody},
		{"500 that announce nothing", 500, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newIntake(t)
				var attack []*sending
				for range c.connections {
					s := begin(t, h, c.announced, unsigned()...)
					s.send(1)
					attack = append(attack, s)
				}
				synctest.Wait()
				for _, size := range []int{8 << 10, 256 << 10, largestBody} {
					s, took := deliverSigned(t, h, size)
					s.wants(t, 202, stored)
					if took > 0 {
						t.Errorf("a signed delivery of %d bytes takes %v", size, took)
					}
					withToken := begin(t, h, int64(size), proven...)
					withToken.pieces <- append(fixture(t, "job-failed.json"), ' ')
					close(withToken.pieces)
					withToken.wants(t, 202, stored)
				}
				<-time.After(5 * time.Second)
				for _, s := range attack {
					s.wants(t, 500, tooSlow)
				}
			})
		})
	}
}

// Slow bodies that have acquired all the capacity are evicted as soon as they are
// measured as slow.
func TestSlowBodiesAreEvicted(t *testing.T) {
	for _, c := range []struct {
		name            string
		connections     int
		announced, sent int
		size            int // of the signed delivery
		// After this time they are measured as slow. Those that wait for capacity
		// themselves are a second after they have got it.
		known time.Duration
	}{
		{"2500 that send a byte", 2500, 256 << 10, 1, 8 << 10, time.Second},
		{"128 that send all but a byte", 128, 256 << 10, 256<<10 - 1, 256 << 10, 2 * time.Second},
		{"3 that send half of the most", 3, largestBody, largestBody / 2, largestBody, 2 * time.Second},
		{"4 that send more than a small body", 4, largestBody, 300 << 10, largestBody, 2 * time.Second},
		{"4 that announce nothing", 4, -1, 300 << 10, largestBody, 2 * time.Second},
		{"1000 that announce the most", 1000, largestBody, 1, largestBody, time.Second},
		{"1000 that announce the most, and a small delivery", 1000, largestBody, 256<<10 - 1, 256 << 10, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newIntake(t)
				attack := make([]*sending, c.connections)
				for i := range attack {
					attack[i] = begin(t, h, int64(c.announced), unsigned()...)
					attack[i].send(c.sent)
				}
				synctest.Wait()
				withToken := begin(t, h, int64(c.size), proven...)
				withToken.pieces <- fixture(t, "job-failed.json")
				close(withToken.pieces)
				withToken.wants(t, 202, stored)

				s, took := deliverSigned(t, h, c.size)
				s.wants(t, 202, stored)
				if most := c.known; took > most {
					t.Errorf("a signed delivery takes %v, want %v at most", took, most)
				}
				<-time.After(30 * time.Second)
				for _, s := range attack {
					if !s.isAnswered() || s.Code != 500 {
						t.Fatalf("a body that does not come is answered with %d", s.Code)
					}
				}
			})
		})
	}
}

// A body may come slowly, but not slower than 8 KiB a second, whoever sends it.
func TestLeastRate(t *testing.T) {
	const each = 40 << 10 // bytes in 5 s
	for _, header := range map[string]func() []string{"unproven": unsigned, "proven": func() []string { return proven }} {
		synctest.Test(t, func(t *testing.T) {
			h := newIntake(t)
			enough, less := begin(t, h, 256<<10, header()...), begin(t, h, 256<<10, header()...)
			for range 3 {
				<-time.After(4 * time.Second)
				enough.send(each)
				<-time.After(time.Second)
			}
			if enough.isAnswered() {
				t.Errorf("a body of 8 KiB a second is refused with %d %s", enough.Code, enough.Body)
			}
			less.wants(t, 500, tooSlow)
			<-time.After(4 * time.Second)
			enough.send(each - 1)
			<-time.After(time.Second)
			enough.wants(t, 500, tooSlow)
		})
	}
}

// A signed delivery that also has the right secret token is proven before its
// body is there.
func TestTokenProvesASignedDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newIntake(t)
		both := begin(t, h, largestBody, append(unsigned(), proven...)...)
		other := begin(t, h, largestBody, proven...)
		synctest.Wait()
		third := begin(t, h, largestBody, proven...)
		<-time.After(webhook.DefaultBodyWait)
		third.wants(t, 500, crowded) // it would have fit beside one proven body
		for _, s := range []*sending{both, other} {
			close(s.pieces)
		}
		both.wants(t, 401, badSignature)
	})
}

// The capacity is released however a body ends.
func TestCapacityIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newIntake(t)
		for range 3 {
			var all []*sending
			for range 2 {
				all = append(all, begin(t, h, largestBody, unsigned()...))
			}
			for _, s := range all {
				s.send(largestBody - 1)
			}
			synctest.Wait()
			all[0].pieces <- []byte(" ")
			close(all[0].pieces)
			all[0].wants(t, 401, badSignature)
			<-time.After(10 * time.Second)
			all[1].wants(t, 500, tooSlow)
		}
		for range 3 {
			s, took := deliverSigned(t, h, largestBody)
			s.wants(t, 202, stored)
			if took > 0 {
				t.Errorf("a signed delivery takes %v", took)
			}
		}
	})
}

// On a real connection, a sender that stops sending is answered, and cut.
func TestStalledConnectionIsAnswered(t *testing.T) {
	await.Long(t, "it takes the time that a sender has")
	t.Parallel()
	r := newRig(t, func(c *webhook.Config) { c.Now = time.Now })
	conn, err := net.Dial("tcp", r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+webhook.Path+" HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: "+secretToken+"\r\nContent-Length: 262144\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // to its end: the connection is closed
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 500 ") || !strings.HasSuffix(strings.TrimSpace(string(answer)), tooSlow) {
		t.Errorf("answer is %s (%v)", answer, err)
	}
}
