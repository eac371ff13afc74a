package auth

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2" // with which exporter-toolkit reads the file: another one may read it differently
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// maxCost is the highest bcrypt cost of a password. One check at that cost takes about
// two seconds of a processor, and each step doubles it.
const maxCost = 15

// WebConfigFile is a web configuration file of prometheus/exporter-toolkit
// (https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md):
// TLS, headers, a rate limit, and users with passwords. exporter-toolkit checks it, and
// makes the TLS configuration of it. Its web.Serve is not used: it requires a password of
// health checks too, and lets a flood of wrong passwords hold up those who have the right
// ones, because all checks wait for one lock.
//
// The file can be loaded again; after a change that can't be used, the one in force
// stays. Certificates are read again at each connection. A nil file sets nothing.
type WebConfigFile struct {
	path   string
	users  bool // the file has to authenticate senders
	secure bool // the file gives TLS
	log    *slog.Logger

	mu      sync.Mutex // held while the file is loaded
	tried   []byte     // the content that was last loaded or refused
	refused string     // why that can't be used; "": it is in force
	inForce atomic.Pointer[webConfig]
}

// webConfig is the content of a file.
type webConfig struct {
	web.Config
	limiter *rate.Limiter // nil: none
	cost    int           // the highest bcrypt cost of the users
}

// openWebConfig loads a file. users says whether it has to authenticate senders.
func openWebConfig(path string, users bool, log *slog.Logger) (*WebConfigFile, error) {
	w := &WebConfigFile{path: path, users: users, log: log}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	loaded, err := w.parse(content)
	if err != nil {
		return nil, err
	}
	w.tried, w.secure = content, loaded.TLSConfig.IsEnabled()
	w.inForce.Store(loaded)
	return w, nil
}

// Path returns the path of the file.
func (w *WebConfigFile) Path() string { return w.path }

// Reload loads the file again if it has changed, and logs the result.
func (w *WebConfigFile) Reload() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	content, err := os.ReadFile(w.path)
	if err == nil && bytes.Equal(content, w.tried) {
		if w.refused != "" {
			return errors.New(w.refused)
		}
		return nil
	}
	var loaded *webConfig
	if err == nil {
		w.tried = content
		loaded, err = w.parse(content)
	}
	if err == nil && loaded.TLSConfig.IsEnabled() != w.secure {
		err = errors.New("turning TLS on or off takes a restart")
	}
	if err != nil {
		err = fmt.Errorf("--admin-web-config: %w", err)
		if w.refused != err.Error() {
			w.log.Error("the web configuration file can't be used; the one in force stays", "file", w.path, "error", err)
		}
		w.refused = err.Error()
		return err
	}
	w.refused = ""
	w.inForce.Store(loaded)
	w.log.Info("web configuration loaded", "file", w.path)
	return nil
}

// parse checks and decodes the content of the file.
func (w *WebConfigFile) parse(content []byte) (*webConfig, error) {
	c := &webConfig{Config: web.Config{
		TLSConfig:  web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}, // exporter-toolkit's defaults
		HTTPConfig: web.HTTPConfig{HTTP2: true},
	}}
	if err := yaml.UnmarshalStrict(content, &c.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", w.path, err)
	}
	c.TLSConfig.SetDirectory(filepath.Dir(w.path))
	if limit := c.RateLimiterConfig; limit.Interval != 0 {
		c.limiter = rate.NewLimiter(rate.Every(limit.Interval), limit.Burst)
	}
	for _, user := range slices.Sorted(maps.Keys(c.Users)) {
		cost, err := bcrypt.Cost([]byte(c.Users[user]))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: the password of %q is no bcrypt hash: `htpasswd -nBC 10 %s` makes one", w.path, user, user)
		case cost > maxCost:
			return nil, fmt.Errorf("%s: the bcrypt cost of %q is %d, and a check would take minutes: %d at most", w.path, user, cost, maxCost)
		}
		c.cost = max(c.cost, cost)
	}
	if err := web.Validate(w.path); err != nil {
		return nil, fmt.Errorf("%s: %w", w.path, err)
	}
	return c, w.checkPurpose(c)
}

// checkPurpose checks that the content does what the kind of authentication needs.
func (w *WebConfigFile) checkPurpose(c *webConfig) error {
	verifies := slices.Contains([]string{"RequireAndVerifyClientCert", "VerifyClientCertIfGiven"}, c.TLSConfig.ClientAuth)
	hasCA := c.TLSConfig.ClientCAs != "" || c.TLSConfig.ClientCAsText != ""
	switch {
	case !w.users && len(c.Users) > 0:
		return fmt.Errorf("%s has basic_auth_users: they are for --admin-auth web-config", w.path)
	case verifies && !hasCA:
		return fmt.Errorf("%s has client_auth_type %s and no client_ca_file: every certificate of a public authority would be let in", w.path, c.TLSConfig.ClientAuth)
	case w.users && len(c.Users) == 0 && !verifies:
		return fmt.Errorf("%s authenticates nobody: give basic_auth_users, or in tls_server_config client_ca_file and client_auth_type RequireAndVerifyClientCert", w.path)
	}
	return nil
}

// limit returns a refusal if the file's rate limit is exceeded.
func (w *WebConfigFile) limit() error {
	if w == nil {
		return nil
	}
	if limiter := w.inForce.Load().limiter; limiter != nil && !limiter.Allow() {
		return tooMany(0, "too many requests: rate_limit in the web configuration file says so")
	}
	return nil
}

// Headers returns a handler that sets the file's headers before it calls next.
func (w *WebConfigFile) Headers(next http.Handler) http.Handler {
	if w == nil {
		return next
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for name, value := range w.inForce.Load().HTTPConfig.Header {
			rw.Header().Set(name, value)
		}
		next.ServeHTTP(rw, r)
	})
}

// TLS returns the TLS configuration of a server; nil: the file gives none. Each
// connection gets that of the file in force, with the certificates as they are on disk.
func (w *WebConfigFile) TLS() *tls.Config {
	if w == nil || !w.secure {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: w.inForce.Load().protocols(),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := w.inForce.Load()
			settings := c.TLSConfig
			cfg, err := web.ConfigToTLSConfig(&settings)
			if err != nil {
				w.log.Error("TLS connection to the admin address refused: the web configuration file's certificates can't be used", "error", err)
				return nil, err
			}
			cfg.NextProtos = c.protocols()
			return cfg, nil
		},
	}
}

// protocols returns the protocols that a server offers in ALPN.
func (c *webConfig) protocols() []string {
	if c.HTTPConfig.HTTP2 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}
