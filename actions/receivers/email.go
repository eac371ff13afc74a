package receivers

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// mailOf returns the mail: plain text, in which nothing is markup.
func (s *sending) mailOf(m message.Message) (*gomail.Msg, error) {
	d := s.definition
	mail := gomail.NewMsg()
	from, err := netmail.ParseAddress(d.From)
	if err != nil {
		return nil, err
	}
	if err := mail.From(d.From); err != nil {
		return nil, err
	}
	if err := mail.To(d.To...); err != nil {
		return nil, err
	}
	m = m.Bounded()
	title := m.Title
	if title == "" {
		title, _, _ = strings.Cut(m.Text, "\n")
		title = message.CutRunes(title, message.MaxTitle)
	}
	mail.Subject(m.Level.Emoji() + " " + title)
	mail.SetDateWithValue(s.now)
	mail.SetMessageIDWithValue(messageID(m.ID, from))
	// RFC 3834: nobody answers it automatically.
	mail.SetGenHeader("Auto-Submitted", "auto-generated")
	mail.SetGenHeader("X-Auto-Response-Suppress", "All")
	if m.Level == message.Error {
		mail.SetImportance(gomail.ImportanceHigh)
	}
	mail.SetBodyString(gomail.TypeTextPlain, m.Plain()+"\n")
	return mail, nil
}

// messageID returns the Message-ID of a message: the same for its repetition, so that
// mail programs show it once.
func messageID(id string, from *netmail.Address) string {
	return digest(id) + from.Address[strings.LastIndexByte(from.Address, '@'):]
}

// mailVerdicts are codes of SMTP (RFC 5321, RFC 4954). Others are classified by their
// first digit: 4 passes, 5 does not.
var mailVerdicts = map[string]verdict{
	"smtp_421": isFailed, "smtp_450": isLimited(0), "smtp_451": isFailed, "smtp_452": isLimited(0),
	"smtp_454": isFailed,
	"smtp_530": isMendable("the mail server requires authentication: set username and password_file"),
	"smtp_534": isMendable("the mail server takes no such authentication: allow it there, or use a password of an application"),
	"smtp_535": isMendable("the mail server refuses username and password: correct them"),
	"smtp_538": isMendable("the mail server requires encryption: set tls"),
	"smtp_550": isMendable("the mail server refuses a sender or a recipient: correct from and to"),
	"smtp_551": isMendable("the mail server does not serve a recipient: correct to"),
	"smtp_553": isMendable("the mail server refuses an address: correct from and to"),
	"smtp_501": isMendable("the mail server refuses an address: correct from and to"),
	"smtp_552": isFinal("the message is too long for the mail server"),
	"smtp_554": isMendable("the mail server refuses the message: allow mails from this machine and sender there"),
}

func sendEmail(ctx context.Context, s *sending, m message.Message) *Error {
	mail, err := s.mailOf(m)
	if err != nil {
		return mendable(codeSettings, "from or to is no mail address")
	}
	client, closeConnection, err := s.mailClient(ctx)
	if err != nil {
		return mendable(codeSettings, "the settings of the mail server can't be used")
	}
	defer closeConnection()
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err == nil {
		err = client.SendWithSMTPClient(session, mail)
	}
	if mail.IsDelivered() { // whatever fails then: it must not be sent again
		_ = client.CloseWithSMTPClient(session)
		return nil
	}
	e := mailError(err)
	if ctx.Err() != nil {
		e.cause = ctx.Err()
	}
	e.detail = s.redact(e.detail, s.loginsOf()...)
	return e
}

// loginsOf returns what the password is part of while it is sent, besides itself.
func (s *sending) loginsOf() []string {
	user, password := s.definition.Username, s.secret[receiver.SettingPassword]
	if password == "" {
		return nil
	}
	return []string{"\x00" + user + "\x00" + password}
}

// mailClient returns a client for one connection, and a function that ends that.
func (s *sending) mailClient(ctx context.Context) (*gomail.Client, func(), error) {
	d := s.definition
	config := &tls.Config{ServerName: d.Host, MinVersion: tls.VersionTLS12, RootCAs: s.config.RootCAs}
	policy, port := gomail.TLSMandatory, gomail.DefaultPortTLS
	switch d.TLS {
	case receiver.ImplicitTLS:
		// The connection is encrypted before the client has it; the client takes notice.
		policy, port = gomail.TLSOpportunistic, gomail.DefaultPortSSL
	case receiver.NoTLS:
		policy, port = gomail.NoTLS, gomail.DefaultPort
	}
	var connection net.Conn
	end := func() {}
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		plain, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		connection = plain
		// The client heeds a context while it dials only.
		stop := context.AfterFunc(ctx, func() { _ = plain.Close() })
		end = func() {
			stop()
			_ = connection.Close()
		}
		if d.TLS != receiver.ImplicitTLS {
			return plain, nil
		}
		encrypted := tls.Client(plain, config)
		return encrypted, encrypted.HandshakeContext(dialing)
	}
	options := []gomail.Option{
		gomail.WithPort(cmp.Or(d.Port, port)), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(config),
		gomail.WithTimeout(s.config.Timeout), gomail.WithDialContextFunc(dial), gomail.WithoutNoop(),
	}
	if d.Username != "" {
		options = append(options, gomail.WithUsername(d.Username), gomail.WithPassword(s.secret[receiver.SettingPassword]),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	client, err := gomail.NewClient(d.Host, options...)
	return client, func() { end() }, err
}

// mailError classifies an error of the mail client.
func mailError(err error) *Error {
	code := 0
	if sent, ok := errors.AsType[*gomail.SendError](err); ok {
		code = sent.ErrorCode()
	} else if refused, ok := errors.AsType[*textproto.Error](err); ok {
		code = refused.Code
	}
	if code == 0 {
		return unsent(err)
	}
	name := "smtp_" + strconv.Itoa(code)
	v, known := mailVerdicts[name]
	if !known {
		v = isFinal("the mail server refuses the message")
		if code < 500 {
			v = isFailed
		}
	}
	e := v(name)
	e.limited = false // of one recipient or message, not of all
	e.silent = code == 421
	e.detail = err.Error()
	return e
}

// unsent classifies an error without a code of SMTP.
func unsent(err error) *Error {
	switch text := err.Error(); {
	case errors.Is(err, gomail.ErrNoSupportedAuthDiscovered), strings.Contains(text, "does not support SMTP AUTH"):
		return mendable(codeSettings, "the mail server offers no authentication that can be used here: check port and tls")
	case strings.Contains(text, "does not support STARTTLS"):
		return mendable(codeSettings, "the mail server does not offer STARTTLS: set tls: tls and its port")
	}
	return unanswered(err)
}
