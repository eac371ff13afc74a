package receivers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// How long to wait before the next try, unless the receiver says.
const (
	failedAgain  = 30 * time.Second // it failed, or did not answer
	limitedAgain = time.Minute      // its rate limit is exceeded
	maxAgain     = time.Hour        // at most, whatever it says
)

// Codes of our own.
const (
	codeSettings   = "settings"          // a setting can't be used
	codeMessage    = "message"           // the message can't be sent to anybody
	codeLimited    = "rate_limited"      // sent later, by our own count
	codeNetwork    = "network"           // no answer came
	codeUnexpected = "unexpected_answer" // an answer, but not one of this API
)

// Error says why a message was not sent, and what to do about it. It never contains a
// secret.
type Error struct {
	Receiver string // the name of its definition
	Kind     string
	Code     string // the code of the medium's API, http_503, smtp_535, or one of ours

	advice   string
	detail   string // what the receiver or the network said; "": nothing
	again    bool
	after    time.Duration
	limited  bool // by the receiver: all messages wait
	silent   bool
	mendable bool
	cause    error
}

// Error names the receiver and the code, and gives advice.
func (e *Error) Error() string {
	text := "receiver " + e.Receiver + " (" + e.Kind + "): " + e.Code + ": " + e.advice
	if e.detail != "" {
		text += " (" + e.detail + ")"
	}
	return text
}

// Advice says what to do about it.
func (e *Error) Advice() string { return e.advice }

// Again reports whether to try again, and the least time to wait before.
func (e *Error) Again() (after time.Duration, ok bool) { return e.after, e.again }

// Silent reports whether the receiver as a whole seems to be unreachable: it did not
// answer, or another server did.
func (e *Error) Silent() bool { return e.silent }

// Mendable reports whether an operator can mend it, by the settings here or those of the
// receiver: the same message can be sent then.
func (e *Error) Mendable() bool { return e.mendable }

// Unwrap returns context.Canceled or context.DeadlineExceeded if that was the cause.
func (e *Error) Unwrap() error { return e.cause }

// mendable returns an error that an operator can mend.
func mendable(code, advice string) *Error {
	return &Error{Code: code, advice: advice, mendable: true}
}

// final returns an error of the message.
func final(code, advice string) *Error { return &Error{Code: code, advice: advice} }

// failed returns an error of a receiver that failed.
func failed(code, advice string) *Error {
	return &Error{Code: code, advice: advice, again: true, after: failedAgain}
}

// limited returns an error of a receiver that refuses all messages for a while; 0: it
// does not say how long.
func limited(code string, after time.Duration) *Error {
	if after <= 0 {
		after = limitedAgain
	}
	return &Error{Code: code, advice: "too many messages: sent again later", again: true, after: min(after, maxAgain), limited: true}
}

// unexpected returns an error of an answer that is not one of the API.
func unexpected(api string) *Error {
	e := failed(codeUnexpected, "the answer is not one of "+api+": check the address and the proxy")
	e.silent = true
	return e
}

// unanswered classifies an error of a connection. It quotes no address: it can contain
// secrets.
func unanswered(err error) *Error {
	e := failed(codeNetwork, "no answer came: sent again later")
	e.silent = true
	if quoted, ok := errors.AsType[*url.Error](err); ok {
		err = quoted.Err
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			e.cause = cause
		}
	}
	var (
		unverified *tls.CertificateVerificationError
		authority  x509.UnknownAuthorityError
		hostname   x509.HostnameError
	)
	if errors.As(err, &unverified) || errors.As(err, &authority) || errors.As(err, &hostname) {
		e.advice, e.mendable = "the certificate is not trusted: add its authority to the system's certificates, or correct the address", true
	} else if unknown, ok := errors.AsType[*net.DNSError](err); ok && unknown.IsNotFound {
		e.advice, e.mendable = "the host is not known: check the address and the name servers", true
	}
	e.detail = err.Error()
	return e
}

// failure classifies an HTTP status by its general meaning, if the API gives no code of
// its own.
func (a answer) failure() *Error {
	e := a.byStatus()
	if !strings.Contains(a.header.Get("Content-Type"), "html") {
		e.detail = string(a.body)
	}
	return e
}

// byStatus returns the error of an HTTP status.
func (a answer) byStatus() *Error {
	code := "http_" + strconv.Itoa(a.status)
	switch {
	case a.status == http.StatusTooManyRequests:
		return limited(code, a.retryAfter())
	case a.status == http.StatusNotImplemented:
		return mendable(code, "the receiver does not have this address: copy it again to url")
	case a.status >= http.StatusInternalServerError, a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly:
		e := failed(code, "the receiver failed: sent again later")
		e.silent = a.status >= http.StatusInternalServerError
		if after := a.retryAfter(); after > 0 {
			e.after = min(after, maxAgain)
		}
		return e
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusProxyAuthRequired:
		return mendable(code, "the receiver or a proxy refuses access: check url and the secret")
	case a.status == http.StatusNotFound, a.status == http.StatusGone, a.status == http.StatusMethodNotAllowed:
		return mendable(code, "there is no receiver at this address: copy it again to url")
	case a.status >= http.StatusMultipleChoices && a.status < http.StatusBadRequest:
		return mendable(code, "the address redirects to another, which is not followed: set url to the final address")
	case a.status == http.StatusRequestEntityTooLarge:
		return final(code, "the message is too long for the receiver")
	}
	return final(code, "the receiver refuses the message")
}

// retryAfter returns how long the answer tells to wait; 0: it does not say.
func (a answer) retryAfter() time.Duration {
	for _, name := range []string{"Retry-After", "X-Ogw-Ratelimit-Reset", "X-Ratelimit-Reset-After"} {
		text := a.header.Get(name)
		if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 {
			return inSeconds(seconds)
		}
		if at, err := http.ParseTime(text); err == nil {
			return max(at.Sub(a.at), time.Second)
		}
	}
	return 0
}

// inSeconds returns a number of seconds as a duration, in whole milliseconds.
func inSeconds(seconds float64) time.Duration {
	return time.Duration(math.Ceil(min(seconds, maxAgain.Seconds())*1000)) * time.Millisecond
}
