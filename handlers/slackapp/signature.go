package slackapp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	headerTimestamp = "X-Slack-Request-Timestamp"
	headerSignature = "X-Slack-Signature"
	signatureScheme = "v0"

	// timestampTolerance is how much a request's timestamp may differ from the clock, in
	// both directions, as Slack advises
	// (docs.slack.dev/authentication/verifying-requests-from-slack): an older one is a
	// replay.
	timestampTolerance = 5 * time.Minute
)

// verifier verifies that requests come from Slack. slack-go's does so too, but by a clock
// of its own, and with one secret.
type verifier struct {
	secrets []string
	now     func() time.Time
}

// signingSecret is a signing secret: Slack's are 32 hexadecimal digits today.
var signingSecret = regexp.MustCompile(`^[0-9A-Za-z]{16,128}$`)

// CheckSecrets returns what is wrong with signing secrets, nil for nothing. It names one by
// its position, never by its text.
func CheckSecrets(secrets []string) error {
	for i, s := range secrets {
		switch {
		case strings.HasPrefix(s, "xoxb-"), strings.HasPrefix(s, "xapp-"):
			return fmt.Errorf("signing secret %d is a token: copy the Signing Secret from the app's page \"Basic Information\"", i+1)
		case !signingSecret.MatchString(s):
			return fmt.Errorf("signing secret %d is not a Slack signing secret (32 digits and letters): copy it from the app's page \"Basic Information\"", i+1)
		}
	}
	return nil
}

// checkTimestamp checks that a request has a signature, and was sent now.
func (v *verifier) checkTimestamp(h http.Header) error {
	if h.Get(headerSignature) == "" || h.Get(headerTimestamp) == "" {
		return errors.New("the request is not signed by Slack")
	}
	sent, err := strconv.ParseInt(h.Get(headerTimestamp), 10, 64)
	if err != nil {
		return errors.New("the request's " + headerTimestamp + " is not in Unix seconds")
	}
	if off := v.now().Sub(time.Unix(sent, 0)).Abs(); off > timestampTolerance {
		return fmt.Errorf("the request's %s is more than %v off: it is a replay, or the clock of Pipesteward's machine is wrong", headerTimestamp, timestampTolerance)
	}
	return nil
}

// checkSignature verifies the signature of a request, an HMAC-SHA256 of
// "v0:timestamp:body" in hexadecimal digits. Each secret is tried, so that the time which
// this takes does not tell which one matched.
func (v *verifier) checkSignature(h http.Header, body []byte) error {
	digits, known := strings.CutPrefix(h.Get(headerSignature), signatureScheme+"=")
	given, err := hex.DecodeString(digits)
	if !known || err != nil {
		return errors.New("the request's " + headerSignature + " is malformed")
	}
	match := false
	for _, secret := range v.secrets {
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(signatureScheme + ":" + h.Get(headerTimestamp) + ":"))
		m.Write(body)
		match = hmac.Equal(m.Sum(nil), given) || match
	}
	if !match {
		return errors.New("the request's signature does not fit its body: compare --slack-signing-secret with the Signing Secret of the Slack app")
	}
	return nil
}
