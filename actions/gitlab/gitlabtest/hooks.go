package gitlabtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Hook is a webhook.
type Hook struct {
	ID             int64  // set by AddHook
	ProjectID      int64  // 0: all projects, as the system's hook, or those of Group
	Group          string // full path: the projects in it and in its subgroups
	URL            string
	Token          string // sent as X-Gitlab-Token
	SigningToken   string // whsec_...: since 19.0, signs the body
	JobEvents      bool
	PipelineEvents bool
	PushEvents     bool // nothing is pushed here: only a test delivers one
	InsecureTLS    bool // enable_ssl_verification is off
	BranchFilter   string
	FilterStrategy string // default wildcard
	Template       string // custom_webhook_template; bodies are sent without it
	Name           string
	Description    string

	// Set by the server, see hook_states.go.
	RecentFailures int
	DisabledUntil  time.Time
}

// Delivery is one webhook request.
type Delivery struct {
	ID     int64
	HookID int64
	Event  string // Job Hook or Pipeline Hook
	Key    string // the Idempotency-Key
	Body   []byte
	At     time.Time // when it was answered, by Options.Now; zero: not yet
	Status int       // of the answer; 0: there was none
	Error  string    // why there was no answer

	answer string // the body of the answer
}

// AddHook adds a webhook: every change from now on, by the API or by the test,
// sends the hooks that GitLab would send.
func (s *Server) AddHook(h Hook) Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.SigningToken != "" {
		if _, err := signingKey(h.SigningToken); err != nil {
			panic(err)
		}
	}
	s.lastID.hook++
	h.ID = s.lastID.hook
	s.hooks = append(s.hooks, h)
	return h
}

// Deliveries lists all webhook requests so far, oldest first, including those that
// wait to be sent.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Delivery, len(s.deliveries))
	for i, d := range s.deliveries {
		list[i] = *d
	}
	return list
}

// Resend sends a delivery once more, with the same key: GitLab never does so
// by itself, but people and its API can.
func (s *Server) Resend(deliveryID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.ID == deliveryID {
			s.enqueue(Delivery{HookID: d.HookID, Event: d.Event, Key: d.Key, Body: d.Body})
			return
		}
	}
	panic(fmt.Sprintf("gitlabtest: there is no delivery %d", deliveryID))
}

// Flush returns when every hook so far was sent and answered, or failed.
func (s *Server) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && !s.closed {
		s.changed.Wait()
	}
}

// JobHookBody is the body of the Job Hook that GitLab would send now.
func (s *Server) JobHookBody(jobID int64) []byte {
	s.lock()
	defer s.mu.Unlock()
	return encode(s.jobHook(must(s.jobs, jobID, "job")))
}

// PipelineHookBody is the body of the Pipeline Hook that GitLab would send
// now.
func (s *Server) PipelineHookBody(pipelineID int64) []byte {
	s.lock()
	defer s.mu.Unlock()
	return encode(s.pipelineHook(must(s.pipelines, pipelineID, "pipeline")))
}

// Sign returns the webhook-signature header of a body: HMAC-SHA256 over id,
// time and body, as Standard Webhooks has it. The id is the webhook-id
// header, the time the webhook-timestamp header.
func Sign(signingToken, id string, at time.Time, body []byte) (string, error) {
	key, err := signingKey(signingToken)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(fmt.Appendf(nil, "%s.%d.", id, at.Unix()))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

func signingKey(token string) ([]byte, error) {
	text, found := strings.CutPrefix(token, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !found || err != nil {
		return nil, errors.New("gitlabtest: a signing token is whsec_ and base64")
	}
	return key, nil
}

// notify queues a hook's requests, one for each webhook that wants it.
func (s *Server) notify(p *pipeline, event string, body func() object) {
	if s.muted {
		return
	}
	for _, h := range s.hooks {
		wanted := h.JobEvents && event == "Job Hook" || h.PipelineEvents && event == "Pipeline Hook"
		if wanted && h.covers(p.project) && s.alertStatus(h) == "executable" {
			s.enqueue(Delivery{HookID: h.ID, Event: event, Key: uuid(), Body: encode(body())})
		}
	}
}

// covers reports whether the webhook gets the events of the project.
func (h Hook) covers(p *project) bool {
	if h.Group != "" {
		return strings.HasPrefix(p.Path, h.Group+"/")
	}
	return h.ProjectID == 0 || h.ProjectID == p.ID
}

func (s *Server) enqueue(d Delivery) {
	d.ID = int64(len(s.deliveries) + 1)
	s.deliveries = append(s.deliveries, &d)
	s.queue = append(s.queue, &d)
	s.changed.Broadcast()
}

// maxAnswer is how much of an answer GitLab keeps, in bytes.
const maxAnswer = 8 << 10

// hookTimeout is how long GitLab waits for an answer.
const hookTimeout = 10 * time.Second

func newHookClient() *http.Client {
	return &http.Client{
		Timeout:   hookTimeout,
		Transport: &http.Transport{},
		// A redirect is an answer, and counts as success.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sendHooks sends the queued deliveries, one after the other, until Close.
func (s *Server) sendHooks(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 && !s.closed {
			s.changed.Wait()
		}
		if s.closed {
			return
		}
		s.deliver(ctx, s.queue[0])
		s.queue = s.queue[1:]
		s.changed.Broadcast()
	}
}

// deliver sends a delivery, unlocked meanwhile, and records the answer. Of a webhook
// that was removed it sends nothing.
func (s *Server) deliver(ctx context.Context, d *Delivery) {
	hook := s.findHook(d.HookID)
	if hook == nil {
		d.At, d.Error = s.o.Now(), "the webhook was removed"
		return
	}
	of := *hook
	s.mu.Unlock()
	status, answer, err := s.send(ctx, of, *d)
	s.mu.Lock()
	d.At, d.Status, d.answer = s.o.Now(), status, answer
	if err != nil {
		d.Error = err.Error()
	}
	if hook := s.findHook(d.HookID); hook != nil {
		s.answeredHook(hook, status)
	}
}

// findHook returns a webhook; nil: there is none.
func (s *Server) findHook(id int64) *Hook {
	for i := range s.hooks {
		if s.hooks[i].ID == id {
			return &s.hooks[i]
		}
	}
	return nil
}

// send makes one webhook request.
func (s *Server) send(ctx context.Context, hook Hook, d Delivery) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "GitLab/"+s.o.Version)
	r.Header.Set("X-Gitlab-Event", d.Event)
	r.Header.Set("X-Gitlab-Instance", s.origin())
	r.Header.Set("X-Gitlab-Webhook-Uuid", uuid())
	r.Header.Set("X-Gitlab-Event-Uuid", uuid())
	if hook.Token != "" {
		r.Header.Set("X-Gitlab-Token", hook.Token)
	}
	if s.version.atLeast(17, 4) {
		r.Header.Set("Idempotency-Key", d.Key)
	}
	if hook.SigningToken != "" && s.version.atLeast(19, 0) {
		at := s.o.Now()
		signature, err := Sign(hook.SigningToken, d.Key, at, d.Body)
		if err != nil {
			return 0, "", err
		}
		r.Header.Set("Webhook-Id", d.Key)
		r.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		r.Header.Set("Webhook-Signature", signature)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, string(text), errors.Join(err, response.Body.Close())
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func encode(o object) []byte {
	body, err := json.Marshal(o)
	if err != nil {
		panic(err) // only values of this package are encoded
	}
	return body
}
