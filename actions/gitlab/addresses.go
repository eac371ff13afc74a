package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
)

const (
	// How long to wait before GitLab's own address is read again: after a failure
	// twice as long each time, and one hour after an answer.
	firstAddressRetry = time.Second
	lastAddressRetry  = time.Minute
	addressRefresh    = time.Hour

	// maxForeign bounds how many foreign addresses are logged.
	maxForeign = 100
)

// address is a normalized base URL: scheme and host in lower case, no default
// port, no slash at the end.
type address struct {
	origin string // https://example.com:8443
	path   string // "", or the relative URL root: /gitlab
}

func (a address) String() string { return a.origin + a.path }

// parseAddress reads a URL with scheme and host; ok is false for any other
// text. User, query and fragment are ignored.
func parseAddress(text string) (a address, ok bool) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Hostname() == "" {
		return address{}, false
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	switch {
	case scheme == "https" && port == "443", scheme == "http" && port == "80":
		port = ""
	case scheme != "https" && scheme != "http":
		return address{}, false
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	// The text may be a part of a large body, which a stored address would keep in
	// memory.
	return address{origin: scheme + "://" + host, path: strings.Clone(strings.TrimRight(u.Path, "/"))}, true
}

// within removes a page's own path: a project's page without its
// path_with_namespace is the base URL. ok is false if the page has another path.
func (a address) within(path string) (base address, ok bool) {
	at := len(a.path) - len(path) - 1
	if path == "" || at < 0 || !strings.EqualFold(a.path[at:], "/"+path) {
		return a, false
	}
	return address{a.origin, a.path[:at]}, true
}

// contains reports whether a page of an unknown path may be below the base URL.
func (a address) contains(page address) bool {
	return a.origin == page.origin && (a.path == page.path || strings.HasPrefix(page.path, a.path+"/"))
}

// addresses are the known base URLs of the instance. Hooks have the one that GitLab
// calls its external URL; Pipesteward may reach the instance under another one.
type addresses struct {
	configured []address // the base URL and its aliases
	log        *slog.Logger

	mu       sync.Mutex
	external address // by GitLab's last answer
	answered bool    // GitLab has answered the request for it
	logged   map[address]bool
}

func newAddresses(base *url.URL, aliases []string, log *slog.Logger) (*addresses, error) {
	a := &addresses{log: log, logged: map[address]bool{}}
	own, _ := parseAddress(base.String())
	a.configured = append(a.configured, own)
	for _, alias := range aliases {
		u, err := parseBaseURL(alias)
		if err != nil {
			return nil, fmt.Errorf("gitlab: alias: %w", err)
		}
		other, _ := parseAddress(u.String())
		a.configured = append(a.configured, other)
	}
	return a, nil
}

// known returns the addresses; certain is false until GitLab has returned its own.
func (a *addresses) known() (all []address, certain bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all = a.configured
	if a.external != (address{}) {
		all = append(all[:len(all):len(all)], a.external)
	}
	return all, a.answered
}

// learn records GitLab's external URL; zero if GitLab does not say it.
func (a *addresses) learn(external address) {
	a.mu.Lock()
	before, first := a.external, !a.answered
	a.external, a.answered = external, true
	a.mu.Unlock()
	switch {
	case external == (address{}) && first:
		a.log.Warn("GitLab does not say its own address: only deliveries that name --gitlab-url or a --gitlab-alias are accepted")
	case external != before && !first:
		a.log.Warn("GitLab's own address has changed", "gitlab", external.String(), "before", before.String())
	}
}

// isConfigured reports whether an address is --gitlab-url or an alias.
func (a *addresses) isConfigured(other address) bool { return slices.Contains(a.configured, other) }

// refuse logs a foreign address once.
func (a *addresses) refuse(foreign address) {
	a.mu.Lock()
	first := !a.logged[foreign] && len(a.logged) < maxForeign
	if first {
		a.logged[foreign] = true
	}
	a.mu.Unlock()
	if first {
		a.log.Warn("deliveries of another GitLab are refused: remove the webhook there, or, if this is another address of the same GitLab, name it with --gitlab-alias",
			"instance", foreign.String(), "gitlab", a.configured[0].String())
	}
}

// ForeignAddress returns the base URL of the GitLab that sent a delivery, if it is
// no known address of this instance, else "". It compares the delivery's
// X-Gitlab-Instance header, and the URL and path of its project; each may be empty.
// certain is false until GitLab has returned its own address: the base URL may turn
// out to be that one.
//
// A foreign address is logged once. GitLab's header never has a relative URL root
// (Gitlab.config.gitlab.base_url), so only its scheme, host and port are compared,
// and the root by the project's URL.
func (c *Client) ForeignAddress(instance, projectURL, projectPath string) (foreign string, certain bool) {
	all, certain := c.addresses.known()
	header, given := parseAddress(instance)
	page, named := parseAddress(projectURL)
	base, exact := page.within(projectPath)
	origin, root := !given, !named
	for _, known := range all {
		origin = origin || known.origin == header.origin && (header.path == "" || header.path == known.path)
		root = root || known == base || !exact && known.contains(page)
	}
	if origin && root {
		return "", true
	}
	other := header
	if !root {
		other = base
	}
	if certain {
		c.addresses.refuse(other)
	}
	return other.String(), certain
}

// LearnAddress reads GitLab's external URL once.
func (c *Client) LearnAddress(ctx context.Context) error {
	answer, err := c.user(ctx)
	if err == nil {
		c.learnAddress(answer)
	}
	return err
}

// learnAddress records GitLab's external URL, which the page of the token's user has,
// and returns it; zero if GitLab does not say it.
func (c *Client) learnAddress(user tokenUserJSON) address {
	page, _ := parseAddress(user.WebURL)
	external, ok := page.within(user.Username)
	if !ok {
		external = address{}
	}
	c.addresses.learn(external)
	return external
}

// FollowAddress reads GitLab's external URL until GitLab answers, and again each
// hour, until ctx ends.
func (c *Client) FollowAddress(ctx context.Context) {
	failed := time.Duration(0) // the last wait after a failure
	for {
		err := c.LearnAddress(ctx)
		wait := addressRefresh
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if _, certain := c.addresses.known(); failed == 0 && !certain {
				c.addresses.log.WarnContext(ctx, "can't read GitLab's own address: events whose delivery names another one than --gitlab-url wait until that succeeds", "error", err)
			}
			wait = min(cmp.Or(2*failed, firstAddressRetry), lastAddressRetry)
			if passing := (*apierror.Error)(nil); errors.As(err, &passing) {
				wait = max(wait, passing.After)
			}
			failed = wait
		} else {
			failed = 0
		}
		if c.sleep(ctx, wait) != nil {
			return
		}
	}
}
