package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

const defaultAdminURL = "http://127.0.0.1:9090"

// adminFlags name the running server that a command calls, and the credentials for it.
func adminFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("admin-url", defaultAdminURL, "`URL` of the running server: where its --admin-listen can be reached"),
		secretFlag("admin-token", "GitLab access `TOKEN` that shows who you are, for a server with --admin-auth oidc"),
		stringFlag("admin-user", "", "`USER` to sign in as, for a server with --admin-auth web-config"),
		secretFlag("admin-password", "`PASSWORD` of --admin-user"),
		stringFlag("admin-ca", "", "`FILE` with the authority that has issued the server's TLS certificate; default: those that this machine trusts"),
		stringFlag("admin-client-cert", "", "`FILE` with a TLS client certificate, for a server with --admin-auth web-config that requires one"),
		stringFlag("admin-client-key", "", "`FILE` with the key of --admin-client-cert"),
	}
}

// adminTimeout bounds one call of the admin API.
const adminTimeout = 20 * time.Second

// maxAnswer bounds what is read of an answer that is JSON, in bytes.
const maxAnswer = 16 << 20

// refusedError is the answer of a server that refuses a call.
type refusedError struct {
	status int // of HTTP
	text   string
}

func (e *refusedError) Error() string { return e.text }

// unansweredError says that no server answers at an address.
type unansweredError struct {
	address string
	err     error
}

func (e *unansweredError) Error() string {
	return fmt.Sprintf("no server answers at %s (start `serve`, or give its --admin-listen as --admin-url): %v", e.address, e.err)
}

func (e *unansweredError) Unwrap() error { return e.err }

// away reports whether an error of callAdmin may pass by itself: no server answers, or
// one that has no store now.
func away(err error) bool {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.status >= http.StatusInternalServerError
	}
	_, usage := errors.AsType[*usageError](err)
	return err != nil && !usage
}

// callAdmin calls the admin API of the running server that the command's flags name.
// body and into are JSON; a nil body sends none. Its errors are the server's
// words; a usageError where they are about what was requested.
func callAdmin(ctx context.Context, c *cli.Command, method, path string, body, into any) error {
	return exchangeAdmin(ctx, c, method, path, adminTimeout, body, func(resp *http.Response, shown string) error {
		answered, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("the answer of %s: %w", shown, err)
		}
		if err := json.Unmarshal(answered, into); err != nil {
			return fmt.Errorf("%s gives no JSON (%w): is it the --admin-listen of `serve`?", shown, err)
		}
		return nil
	})
}

// exchangeAdmin is callAdmin for a call that takes the time limit at most, and whose answer
// read reads: the body of a response with the status 200, of the server that is shown as its
// second argument.
func exchangeAdmin(ctx context.Context, c *cli.Command, method, path string, limit time.Duration, body any, read func(resp *http.Response, shown string) error) error {
	base := c.String("admin-url")
	shown := redact.URL(base)
	if err := checkAdminURL(base); err != nil {
		return err
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	call, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(call, method, strings.TrimRight(base, "/")+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := setCredentials(c, req); err != nil {
		return err
	}
	end := beginCall(ctx, req)
	resp, err := client.Do(req)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	end(status)
	if unverified, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of %s can't be verified (%w): give the file of its authority as --admin-ca", shown, unverified.Err)
	}
	if sent, ok := errors.AsType[*url.Error](err); ok {
		err = sent.Err // without the URL, whose query may have a secret
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped before the server answered")
	case err != nil:
		return &unansweredError{shown, err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return read(resp, shown)
	}
	answered, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", shown, err)
	}
	if resp.StatusCode == http.StatusNotFound && takesWebhooks(call, client, base) {
		return &refusedError{resp.StatusCode, shown + " is where `serve` takes webhooks (--listen): give the address of its --admin-listen as --admin-url"}
	}
	var refused struct{ Error string }
	if json.Unmarshal(answered, &refused) == nil && refused.Error != "" {
		return refusal(c, resp.StatusCode, refused.Error)
	}
	if strings.Contains(string(answered), "HTTP request to an HTTPS server") { // as net/http says it
		return &refusedError{resp.StatusCode, shown + " speaks TLS: let --admin-url begin with https://"}
	}
	return &refusedError{resp.StatusCode, fmt.Sprintf("%s answers %s: is it the --admin-listen of `serve`?", shown, resp.Status)}
}

// checkAdmin returns an error if the flags that name a running server can't be used; it does not
// call the server.
func checkAdmin(c *cli.Command) error {
	if err := checkAdminURL(c.String("admin-url")); err != nil {
		return err
	}
	if _, err := newAdminClient(c); err != nil {
		return err
	}
	return setCredentials(c, &http.Request{Header: http.Header{}})
}

// checkAdminURL returns a usageError if a base address is not one of a server.
func checkAdminURL(base string) error {
	shown := redact.URL(base)
	given, err := url.Parse(base)
	switch {
	case err != nil || given.Host == "" || given.Scheme != "http" && given.Scheme != "https":
		return &usageError{fmt.Errorf("--admin-url: %q does not begin with http:// or https:// and a host: write for instance %s", shown, defaultAdminURL)}
	case given.User != nil:
		return &usageError{errors.New("--admin-url holds a user: give it as --admin-user, and the password as --admin-password")}
	case strings.ContainsAny(base, "?#"):
		return &usageError{fmt.Errorf("--admin-url: %q has a query (?...) or a fragment (#...): leave it out", shown)}
	case strings.Trim(given.Path, "/") != "":
		return &usageError{fmt.Errorf("--admin-url: %q has a path: leave it out, the address is a scheme and a host, like %s", shown, defaultAdminURL)}
	}
	return nil
}

// takesWebhooks reports whether an address is that of webhooks: deliveries can be posted
// there.
func takesWebhooks(ctx context.Context, client *http.Client, base string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+webhook.Path, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusMethodNotAllowed
}

// parameter is how the API names a parameter of a query or a member of a body.
var parameter = regexp.MustCompile(`parameter "([a-z_]+)"`)

// refusal returns the error of a refused call: one of usage if what was requested makes no
// sense. It names the command's flags in place of the parameters of the API.
func refusal(c *cli.Command, status int, text string) error {
	text = parameter.ReplaceAllStringFunc(text, func(found string) string {
		name := strings.ReplaceAll(parameter.FindStringSubmatch(found)[1], "_", "-")
		if !slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == name }) {
			return found
		}
		return "--" + name
	})
	if status != http.StatusBadRequest {
		return &refusedError{status, text}
	}
	return &usageError{&refusedError{status, text}}
}

// newAdminClient returns the HTTP client for the server that the flags name. It follows
// no redirects: they lead people to a sign-in, and credentials elsewhere.
func newAdminClient(c *cli.Command) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSHandshakeTimeout = adminTimeout
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if file := c.String("admin-ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--admin-ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--admin-ca: %s holds no certificate in PEM", file)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	cert, key := c.String("admin-client-cert"), c.String("admin-client-key")
	switch {
	case (cert == "") != (key == ""):
		return nil, &usageError{errors.New("--admin-client-cert and --admin-client-key belong together: give both")}
	case cert != "":
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("--admin-client-cert, --admin-client-key: %w", err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// setCredentials adds the credentials that the flags give.
func setCredentials(c *cli.Command, req *http.Request) error {
	secret := func(name string) (string, error) {
		all, err := secrets(name, c.String(name))
		value, err2 := app.Single(name, all)
		if err := errors.Join(err, err2); err != nil {
			return "", withSecret(nil, name, err)
		}
		return value, nil
	}
	token, err := secret("admin-token")
	if err != nil {
		return err
	}
	password, err := secret("admin-password")
	if err != nil {
		return err
	}
	name := c.String("admin-user")
	switch {
	case token != "" && name != "":
		return &usageError{errors.New("--admin-token and --admin-user are two ways to say who you are: give one")}
	case (name == "") != (password == ""):
		return &usageError{errors.New("--admin-user and --admin-password belong together: give both")}
	case token != "":
		req.Header.Set("Authorization", "Bearer "+token)
	case name != "":
		req.SetBasicAuth(name, password)
	}
	return nil
}

// adminSecrets returns the credentials for the running server, from flags, variables or
// files: what must not be shown, also if they can't be used together.
func adminSecrets(c *cli.Command) []string {
	var all []string
	for _, name := range []string{"admin-token", "admin-password"} {
		all = append(all, c.String(name))
		fromFile, err := secrets(name)
		if err == nil { // else the call itself says it
			all = append(all, fromFile...)
		}
	}
	return app.Trimmed(all)
}

// whoRuns returns the name of the user who runs the command, "" where the
// system does not know it.
func whoRuns() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
