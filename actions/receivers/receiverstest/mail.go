package receiverstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// MailOptions of a MailServer.
type MailOptions struct {
	Username, Password string // "": none are required
	// TLS is starttls (default), tls or none.
	TLS string
}

// MailServer is a mail server on a free port of 127.0.0.1. It is safe for concurrent use.
type MailServer struct {
	options  MailOptions
	listener net.Listener
	smtp     *smtp.Server
	served   chan struct{}
	roots    *x509.CertPool

	mu       sync.Mutex
	faults   []*Fault
	messages []Message
	hanging  chan string
	closed   chan struct{}
	once     sync.Once
}

// NewMail starts a mail server.
func NewMail(options MailOptions) (*MailServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receiverstest: %w", err)
	}
	s := &MailServer{
		options: options, listener: listener, served: make(chan struct{}), roots: x509.NewCertPool(),
		hanging: make(chan string, 100), closed: make(chan struct{}),
	}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &mailSession{server: s, connection: c.Conn()}, nil }))
	s.smtp.Domain = "mail.example.com"
	s.smtp.ErrorLog = quiet{}
	s.smtp.MaxMessageBytes = 1 << 20
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = 30*time.Second, 30*time.Second
	config := s.certificate()
	switch options.TLS {
	case "", "starttls":
		s.smtp.TLSConfig = config
	case "tls":
		listener = tls.NewListener(listener, config)
	}
	go func() {
		defer close(s.served)
		_ = s.smtp.Serve(listener) // Close ended it
	}()
	return s, nil
}

// quiet drops the log of go-smtp.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// certificate returns a TLS configuration with the certificate of httptest, which is valid for
// 127.0.0.1.
func (s *MailServer) certificate() *tls.Config {
	lender := httptest.NewUnstartedServer(http.NotFoundHandler())
	lender.StartTLS()
	defer lender.Close()
	s.roots.AddCert(lender.Certificate())
	return &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}
}

// Close ends the server and every connection to it.
func (s *MailServer) Close() error {
	s.once.Do(func() { close(s.closed) })
	_ = s.listener.Close() // go-smtp may not serve it yet
	err := s.smtp.Close()
	<-s.served
	return err
}

// Port returns the server's port on 127.0.0.1.
func (s *MailServer) Port() int {
	address, _ := s.listener.Addr().(*net.TCPAddr)
	return address.Port
}

// RootCAs returns the authority of the server's certificate.
func (s *MailServer) RootCAs() *x509.CertPool { return s.roots }

// Messages lists the mails that were accepted, oldest first.
func (s *MailServer) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Hanging returns a channel that gets a value for each mail that hangs.
func (s *MailServer) Hanging() <-chan string { return s.hanging }

// Fail adds a fault of the next mails, with the SMTP code and text in Status and Body: codes from
// 530 to 538 fail the authentication, 450, 550, 551 and 553 a recipient, others the data.
// With AfterEffect the mail is accepted, and the connection ends then.
func (s *MailServer) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, &f)
}

// stages of a mail at which it can fail.
type stage int

const (
	atAuth stage = iota
	atRecipient
	atData
)

func (f *Fault) stage() stage {
	switch {
	case f.Status >= 530 && f.Status <= 538:
		return atAuth
	case f.Status == 450 || f.Status >= 550 && f.Status <= 551 || f.Status == 553:
		return atRecipient
	}
	return atData
}

// fault fails a stage of a mail, if there is a fault for it.
func (s *MailServer) fault(at stage) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.faults, func(f *Fault) bool { return f.stage() == at && !f.AfterEffect })
	if i < 0 {
		s.mu.Unlock()
		return nil
	}
	f := *s.faults[i]
	if s.faults[i].Times--; s.faults[i].Times == 0 {
		s.faults = slices.Delete(s.faults, i, i+1)
	}
	s.mu.Unlock()
	if f.Hang {
		s.hanging <- "email"
		<-s.closed
	}
	return &smtp.SMTPError{Code: f.Status, EnhancedCode: smtp.EnhancedCode{f.Status / 100, 0, 0}, Message: f.Body}
}

type mailSession struct {
	server        *MailServer
	connection    net.Conn
	authenticated bool
	cut           bool
	from          string
	to            []string
}

func (m *mailSession) AuthMechanisms() []string {
	if m.server.options.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (m *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if err := m.server.fault(atAuth); err != nil {
			return err
		}
		if username != m.server.options.Username || password != m.server.options.Password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Error: authentication failed for " + username + " with " + password}
		}
		m.authenticated = true
		return nil
	}), nil
}

func (m *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if m.server.options.Username != "" && !m.authenticated {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	m.from = from
	return nil
}

func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := m.server.fault(atRecipient); err != nil {
		return err
	}
	m.to = append(m.to, to)
	return nil
}

func (m *mailSession) Data(r io.Reader) error {
	if err := m.server.fault(atData); err != nil {
		return err
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	seen, err := readMail(body)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	seen.Notified = m.to
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.messages = append(m.server.messages, seen)
	i := slices.IndexFunc(m.server.faults, func(f *Fault) bool { return f.AfterEffect })
	if m.cut = i >= 0; m.cut {
		m.server.faults = slices.Delete(m.server.faults, i, i+1)
	}
	return nil
}

// Reset is called when a mail was answered.
func (m *mailSession) Reset() {
	m.from, m.to = "", nil
	if m.cut {
		_ = m.connection.Close()
	}
}

func (m *mailSession) Logout() error { return nil }

// readMail returns what a mail program shows of a mail: its subject and its text.
func readMail(raw []byte) (Message, error) {
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Message{}, err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if err != nil {
		return Message{}, err
	}
	kind, _, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil {
		return Message{}, err
	}
	if kind != "text/plain" {
		return Message{}, errors.New("the text is not plain, but " + kind)
	}
	body := read.Body
	if strings.EqualFold(read.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return Message{}, err
	}
	return Message{
		Kind: "email", ID: read.Header.Get("Message-ID"), Header: http.Header(read.Header), Body: raw,
		Text: subject + "\n" + strings.ReplaceAll(string(text), "\r\n", "\n"),
	}, nil
}
