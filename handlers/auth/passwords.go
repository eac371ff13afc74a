package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// passwords authenticates senders by the users of a web configuration file, or, if it
// has none, by the client certificates that it demands.
type passwords struct {
	file     *WebConfigFile
	attempts *attempts
	log      *slog.Logger

	key [32]byte // of the digests below
	mu  sync.Mutex
	// right has of each user the digest of the last password that was right, with the
	// hash that it was compared with: bcrypt is slow on purpose, and is not run again
	// for what is known. It has no more entries than there were users.
	right map[string][sha256.Size]byte
	// decoy is the hash that the passwords of unknown users are compared with, so that
	// the time of an answer does not tell which users there are.
	decoy map[int][]byte // by cost
}

var _ authenticator = (*passwords)(nil)

func newPasswords(file *WebConfigFile, now func() time.Time, log *slog.Logger) *passwords {
	p := &passwords{file: file, attempts: newAttempts(1, now), log: log, right: map[string][sha256.Size]byte{}, decoy: map[int][]byte{}}
	_, _ = rand.Read(p.key[:]) // it never fails
	return p
}

func (p *passwords) authenticate(r *http.Request) (Identity, error) {
	c := p.file.inForce.Load()
	if len(c.Users) == 0 {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return Identity{}, unauthenticated("", "no client certificate was given: commands take one as --admin-client-cert and --admin-client-key, curl as --cert and --key")
		}
		return Identity{User: subjectOf(r.TLS.VerifiedChains[0][0])}, nil
	}
	user, password, given := r.BasicAuth()
	if !given {
		return Identity{}, passwordWanted("a user and a password are needed: commands take them as --admin-user and --admin-password, curl as --user")
	}
	hash, known := c.Users[user]
	if known && p.wasRight(user, string(hash), password) {
		return Identity{User: user}, nil
	}
	right, err := p.check(r.Context(), senderOf(r), c, user, password)
	if err != nil {
		return Identity{}, err
	}
	if !right {
		p.log.InfoContext(r.Context(), "wrong user or password at the admin address", "user", user, "from", senderOf(r))
		return Identity{}, passwordWanted("the user or the password is wrong")
	}
	return Identity{User: user}, nil
}

func passwordWanted(reason string) *refusal {
	return unauthenticated(`Basic realm="pipesteward", charset="UTF-8"`, "%s", reason)
}

// check compares a password with the hash of the user, slowly.
func (p *passwords) check(ctx context.Context, from netip.Addr, c *webConfig, user, password string) (bool, error) {
	return p.attempts.check(ctx, from, func() (bool, error) {
		hash, known := c.Users[user]
		if !known {
			_ = bcrypt.CompareHashAndPassword(p.decoyOf(c.cost), []byte(password))
			return false, nil
		}
		if p.wasRight(user, string(hash), password) { // a request beside this one found that out
			return true, nil
		}
		if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
			return false, nil
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.right[user] = p.digest(string(hash), password)
		return true, nil
	})
}

// wasRight reports whether the password was right for the hash before.
func (p *passwords) wasRight(user, hash, password string) bool {
	p.mu.Lock()
	right, ok := p.right[user]
	p.mu.Unlock()
	digest := p.digest(hash, password)
	return ok && hmac.Equal(right[:], digest[:])
}

func (p *passwords) digest(hash, password string) (d [sha256.Size]byte) {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte(hash + "\x00" + password))
	mac.Sum(d[:0])
	return d
}

// decoyOf returns a hash of the cost that no password has.
func (p *passwords) decoyOf(cost int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decoy[cost] == nil {
		p.decoy[cost], _ = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost) // the cost is one of a hash
	}
	return p.decoy[cost]
}

// subjectOf returns the name of the sender with a client certificate: its common name,
// else its first alternative name.
func subjectOf(cert *x509.Certificate) string {
	switch {
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	default:
		return cert.Subject.String()
	}
}
