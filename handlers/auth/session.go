package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// session is what a signed-in person's cookie holds, encrypted. All replicas can read
// it, because they share the key; no store is asked.
type session struct {
	User    string    `json:"user"`
	Groups  []string  `json:"groups,omitempty"` // those that have a role here
	Expires time.Time `json:"expires"`
	// FormToken is in each form that the person is shown, so that no other page can make
	// the browser send one.
	FormToken string `json:"form_token"`
}

// identity returns who has signed in.
func (s session) identity() Identity {
	return Identity{User: s.User, Groups: s.Groups, formToken: s.FormToken}
}

// pendingSignIn is what the cookie of a browser holds that was sent to GitLab.
type pendingSignIn struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	ReturnTo string    `json:"return_to"`
	Expires  time.Time `json:"expires"`
}

// sealer encrypts and authenticates cookies.
type sealer struct{ aead cipher.AEAD }

// newSealer derives the key from the secret of the application at GitLab, which all
// replicas have and nobody else does.
func newSealer(secret string) (*sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "pipesteward admin cookies v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

// seal returns a value as the text of the cookie with the name. A cookie of another name
// can't be made of it.
func (s *sealer) seal(name string, value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, []byte(name))), nil
}

// open reads what seal returned.
func (s *sealer) open(name, sealed string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return err
	}
	text, err := s.aead.Open(nil, nil, raw, []byte(name))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// cookies are the cookies of one name.
type cookies struct {
	name   string
	secure bool // browsers send them over TLS only
}

// newCookies names cookies that other hosts of the domain can't set, where TLS allows it.
func newCookies(name string, secure bool) cookies {
	if secure {
		name = "__Host-" + name
	}
	return cookies{name, secure}
}

// set puts a value into the browser for a time.
func (k cookies) set(w http.ResponseWriter, s *sealer, value any, lifetime time.Duration) error {
	sealed, err := s.seal(k.name, value)
	if err != nil {
		return err
	}
	k.write(w, sealed, int(lifetime.Seconds()))
	return nil
}

// remove removes the cookie from the browser.
func (k cookies) remove(w http.ResponseWriter) { k.write(w, "", -1) }

func (k cookies) write(w http.ResponseWriter, value string, maxAge int) {
	// Lax: the browser comes back from GitLab with the cookie, and sends it with no
	// changing request of another page.
	http.SetCookie(w, &http.Cookie{
		Name: k.name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode,
	})
}

// errNoCookie is the error for a request without the cookie.
var errNoCookie = errors.New("no cookie")

// get reads the value that the browser sends. A cookie that is there twice may come from
// somebody else.
func (k cookies) get(r *http.Request, s *sealer, into any) error {
	all := r.CookiesNamed(k.name)
	if len(all) != 1 {
		return errNoCookie
	}
	return s.open(k.name, all[0].Value, into)
}
