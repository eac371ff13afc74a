package receivers_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/receivers"
	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/actions/receivers/receiverstest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	botSecret    = "SEC-very-secret-of-the-robot"
	signingToken = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	mailUser     = "ci@example.com"
	mailPassword = "very-secret-password"
)

// clock is the time of client and receiver.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is a client and its simulated receiver.
type rig struct {
	*receivers.Client
	t          *testing.T
	kind       string
	clock      *clock
	definition receiver.Definition
	bots       *receiverstest.Server
	mail       *receiverstest.MailServer
	log        bytes.Buffer
	connection *http.Transport
}

// newRig starts the receiver of a kind, and makes its client; all secrets are in files.
func newRig(t *testing.T, kind string) *rig {
	t.Helper()
	r := &rig{t: t, kind: kind, clock: &clock{at: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}, connection: &http.Transport{}}
	r.definition = receiver.Definition{Name: "ops", Kind: kind}
	if kind == receiver.Email {
		server, err := receiverstest.NewMail(receiverstest.MailOptions{Username: mailUser, Password: mailPassword})
		if err != nil {
			t.Fatal(err)
		}
		r.mail = server
		t.Cleanup(func() { _ = server.Close() })
		r.definition.Host, r.definition.Port, r.definition.Username = "127.0.0.1", server.Port(), mailUser
		r.definition.From, r.definition.To = "Pipesteward <ci@example.com>", []string{"team@example.com", "Ops <ops@example.com>"}
		r.definition.PasswordFile = r.file("password", mailPassword)
	} else {
		server, err := receiverstest.New(receiverstest.Options{Now: r.clock.now, Secret: botSecret, SigningToken: signingToken})
		if err != nil {
			t.Fatal(err)
		}
		r.bots = server
		t.Cleanup(func() { _ = server.Close() })
		r.definition.URLFile = r.file("url", server.URL(kind))
		switch kind {
		case receiver.Feishu, receiver.Lark, receiver.DingTalk:
			r.definition.SecretFile = r.file("secret", botSecret)
		case receiver.Webhook:
			r.definition.SigningTokenFile = r.file("signing", signingToken)
		}
	}
	t.Cleanup(r.connection.CloseIdleConnections)
	r.connect()
	return r
}

// connect makes the client of the definition.
func (r *rig) connect() {
	r.t.Helper()
	config := receivers.Config{
		RootCAs:    roots(r),
		HTTPClient: &http.Client{Transport: r.connection}, Now: r.clock.now,
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	client, err := receivers.New(r.definition, config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Client = client
}

// roots returns the authority of the mail server's certificate.
func roots(r *rig) *x509.CertPool {
	if r.mail == nil {
		return nil
	}
	return r.mail.RootCAs()
}

// file writes a secret's file.
func (r *rig) file(name, value string) string {
	path := filepath.Join(r.t.TempDir(), name)
	r.write(path, value)
	return path
}

func (r *rig) write(path, value string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) fail(f receiverstest.Fault) {
	if r.mail != nil {
		r.mail.Fail(f)
		return
	}
	r.bots.Fail(f)
}

func (r *rig) messages() []receiverstest.Message {
	if r.mail != nil {
		return r.mail.Messages()
	}
	return r.bots.Messages(r.kind)
}

func (r *rig) hanging() <-chan string {
	if r.mail != nil {
		return r.mail.Hanging()
	}
	return r.bots.Hanging()
}

// last returns the only message that was accepted.
func (r *rig) last() receiverstest.Message {
	r.t.Helper()
	all := r.messages()
	if len(all) == 0 {
		r.t.Fatal("no message was accepted")
	}
	return all[len(all)-1]
}

// refused sends a message, which must fail, and returns the error.
func (r *rig) refused(m message.Message) *receivers.Error {
	r.t.Helper()
	err := r.Send(r.t.Context(), m)
	failed, ok := errors.AsType[*receivers.Error](err)
	if !ok {
		r.t.Fatalf("sending ends with %v, want an Error", err)
	}
	return failed
}

// sent sends a message, which must succeed.
func (r *rig) sent(m message.Message) {
	r.t.Helper()
	if err := r.Send(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
}

// everyKind runs a test on each kind of receiver but those left out.
func everyKind(t *testing.T, test func(t *testing.T, r *rig), but ...string) {
	t.Helper()
	for _, kind := range receiver.Kinds() {
		if !slices.Contains(but, kind) {
			t.Run(kind, func(t *testing.T) { test(t, newRig(t, kind)) })
		}
	}
}

// notice is a message with all parts.
func notice() message.Message {
	return message.Message{
		ID: "d-1:gave_up", At: time.Date(2026, 11, 30, 11, 59, 58, 0, time.UTC),
		Title: "Pipeline #42 of platform/api gave up", Text: "build failed 3 times.\n看看日志。",
		Link:   "https://gitlab.example.com/platform/api/-/pipelines/42",
		Fields: []message.Field{{Name: "Stage", Value: "test"}, {Name: "Runner", Value: "shared-1"}},
		Level:  message.Error,
		Outcome: event.Outcome{
			Decision: event.Decision{ID: "d-1", Rule: "retry-flaky"}, Result: event.ResultGaveUp,
			At: time.Date(2026, 11, 30, 11, 59, 58, 0, time.UTC),
		},
	}
}
