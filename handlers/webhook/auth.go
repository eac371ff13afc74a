package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Credentials authenticate deliveries. If signing tokens are set, a delivery with a
// signature is verified by that alone; any other is verified by its secret token.
type Credentials struct {
	Tokens        []string // secret tokens, as in X-Gitlab-Token
	SigningTokens []string // whsec_ and the key in base64, as GitLab shows them
	Insecure      bool     // accept every delivery; only without tokens of either kind
}

const (
	headerToken     = "X-Gitlab-Token"
	headerInstance  = "X-Gitlab-Instance"
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"

	signingPrefix   = "whsec_"
	signatureScheme = "v1,"

	// timestampTolerance is how much a signed delivery's timestamp may differ from
	// the clock, in both directions, as Standard Webhooks advises: an older one is a
	// replay.
	timestampTolerance = 5 * time.Minute
	// minSigningKey is the shortest key that Standard Webhooks allows, in
	// bytes; GitLab's have 32.
	minSigningKey = 24
)

// verifier verifies deliveries.
type verifier struct {
	tokens   [][sha256.Size]byte // hashes
	keys     [][]byte
	insecure bool
	now      func() time.Time
}

// Check returns what is wrong with the credentials, nil for nothing. It names a token by
// its position, never by its text.
func (c Credentials) Check() error {
	_, err := newVerifier(c, nil)
	return err
}

// newVerifier checks the credentials. Its errors name a token by its position,
// never by its text.
func newVerifier(c Credentials, now func() time.Time) (*verifier, error) {
	v := &verifier{insecure: c.Insecure, now: now}
	for i, t := range c.Tokens {
		if t == "" {
			return nil, fmt.Errorf("webhook token %d is empty", i+1)
		}
		v.tokens = append(v.tokens, sha256.Sum256([]byte(t)))
	}
	for i, t := range c.SigningTokens {
		encoded, ok := strings.CutPrefix(t, signingPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minSigningKey {
			return nil, fmt.Errorf("webhook signing token %d is malformed: it must be %q and at least %d bytes in base64, as GitLab shows it",
				i+1, signingPrefix, minSigningKey)
		}
		v.keys = append(v.keys, key)
	}
	switch configured := len(v.tokens)+len(v.keys) > 0; {
	case configured && c.Insecure:
		return nil, errors.New("webhook tokens are set, and yet every delivery is to be accepted (--insecure-no-webhook-auth): choose one")
	case !configured && !c.Insecure:
		return nil, errors.New("no webhook token and no signing token is set: anyone could send events; set one as in the webhook's settings in GitLab")
	}
	return v, nil
}

// signed reports whether the delivery is verified by its signature, over the body.
func (v *verifier) signed(h http.Header) bool {
	return len(v.keys) > 0 && h.Get(headerSignature) != ""
}

// checkToken verifies the secret token of a delivery.
func (v *verifier) checkToken(h http.Header) error {
	if v.insecure {
		return nil
	}
	given := h.Get(headerToken)
	switch {
	case given == "" && len(v.tokens) == 0:
		return errors.New("the delivery is not signed: set the webhook's signing token in GitLab")
	case given == "":
		return errors.New("the delivery has no secret token: set the webhook's secret token in GitLab")
	}
	// Hashes have one length, and every token is compared: the time that this takes
	// reveals neither the tokens nor which of them matched.
	hash, match := sha256.Sum256([]byte(given)), 0
	for _, t := range v.tokens {
		match |= subtle.ConstantTimeCompare(hash[:], t[:])
	}
	if match == 0 {
		return errors.New("the delivery's secret token is none of those that Pipesteward is configured with: compare the webhook's settings in GitLab")
	}
	return nil
}

// checkTimestamp checks the id and the timestamp of a signed delivery.
func (v *verifier) checkTimestamp(h http.Header) error {
	if h.Get(headerID) == "" {
		return errors.New("the delivery is signed but has no webhook-id")
	}
	sent, err := strconv.ParseInt(h.Get(headerTimestamp), 10, 64)
	if err != nil {
		return errors.New("the delivery is signed but its webhook-timestamp is not in Unix seconds")
	}
	if off := v.now().Sub(time.Unix(sent, 0)).Abs(); off > timestampTolerance {
		return fmt.Errorf("the delivery's webhook-timestamp is more than %v off: send it again, or set the clocks", timestampTolerance)
	}
	return nil
}

// checkSignature verifies the signature of a delivery, an HMAC-SHA256 of
// "id.timestamp.body". The header may have several, of several versions.
func (v *verifier) checkSignature(h http.Header, body []byte) error {
	var given [][]byte
	for s := range strings.FieldsSeq(h.Get(headerSignature)) {
		if encoded, ok := strings.CutPrefix(s, signatureScheme); ok {
			if mac, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				given = append(given, mac)
			}
		}
	}
	prefix := h.Get(headerID) + "." + h.Get(headerTimestamp) + "."
	match := 0
	for _, key := range v.keys {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(prefix))
		m.Write(body)
		want := m.Sum(nil)
		for _, mac := range given {
			match |= subtle.ConstantTimeCompare(want, mac)
		}
	}
	if match == 0 {
		return errors.New("the delivery's signature does not fit its body: compare the webhook's signing token in GitLab")
	}
	return nil
}
