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
	"unicode"
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
	// signingKey is the size of a key in bytes: GitLab takes no other one.
	signingKey = 32
)

// verifier verifies deliveries.
type verifier struct {
	tokens   [][sha256.Size]byte // hashes
	keys     [][]byte
	insecure bool
	now      func() time.Time
}

// CheckTokens returns what is wrong with the secret tokens, nil for nothing. It names one
// by its position, never by its text.
func (c Credentials) CheckTokens() error {
	for i, t := range c.Tokens {
		switch {
		case t == "":
			return fmt.Errorf("secret token %d is empty", i+1)
		case strings.ContainsFunc(t, unicode.IsControl): // which GitLab refuses, and no header has
			return fmt.Errorf("secret token %d has a line break or another control character in it", i+1)
		}
	}
	return nil
}

// CheckSigningTokens returns what is wrong with the signing tokens, nil for nothing. It
// names one by its position, never by its text.
func (c Credentials) CheckSigningTokens() error {
	_, err := c.signingKeys()
	return err
}

// signingKeys returns the keys of the signing tokens.
func (c Credentials) signingKeys() ([][]byte, error) {
	var keys [][]byte
	for i, t := range c.SigningTokens {
		encoded, ok := strings.CutPrefix(t, signingPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) != signingKey {
			return nil, fmt.Errorf("signing token %d is malformed: it must be %q and %d bytes in base64, as GitLab shows it", i+1, signingPrefix, signingKey)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// CheckInsecure returns an error if every delivery is to be accepted, and there are tokens.
func (c Credentials) CheckInsecure() error {
	if c.Insecure && len(c.Tokens)+len(c.SigningTokens) > 0 {
		return errors.New("webhook tokens are set, and yet every delivery is to be accepted: choose one")
	}
	return nil
}

// newVerifier checks the credentials. Its errors name a token by its position,
// never by its text.
func newVerifier(c Credentials, now func() time.Time) (*verifier, error) {
	v := &verifier{insecure: c.Insecure, now: now}
	var err error
	if v.keys, err = c.signingKeys(); err != nil {
		return nil, err
	}
	if err := errors.Join(c.CheckTokens(), c.CheckInsecure()); err != nil {
		return nil, err
	}
	for _, t := range c.Tokens {
		v.tokens = append(v.tokens, sha256.Sum256([]byte(t)))
	}
	if len(v.tokens)+len(v.keys) == 0 && !c.Insecure {
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
