package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// CommunityEdition is the Version.Edition of a GitLab that has nothing of GitLab Premium.
const CommunityEdition = "Community Edition"

// Version is what GitLab says of its own version.
type Version struct {
	Number  string // such as 19.1.0-ee; "" if GitLab does not say
	Edition string // for people; "" if GitLab does not say
}

// Version returns GitLab's version, by GET /metadata (15.2+) or GET /version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.Metadata, Path: "metadata"}
	answer, _, err := rest.Call(ctx, c.Client, r, versionJSON{})
	if apierror.IsNotFound(err) {
		r.Path = "version"
		answer, _, err = rest.Call(ctx, c.Client, r, versionJSON{})
	}
	return Version{answer.Version, answer.edition()}, err
}

// before reports whether the version is known, and older than major.minor.
func (v Version) before(major, minor int) bool {
	var is, sub int
	if _, err := fmt.Sscanf(v.Number, "%d.%d", &is, &sub); err != nil {
		return false
	}
	return is < major || is == major && sub < minor
}

type versionJSON struct {
	Version    string `json:"version"`
	Enterprise *bool  `json:"enterprise"` // only of /metadata, 15.6+
}

// edition returns the edition by the version's suffix, else by whether it is the
// Enterprise Edition. JiHu GitLab is built on that.
func (v versionJSON) edition() string {
	_, suffix, _ := strings.Cut(v.Version, "-")
	switch {
	case strings.HasPrefix(suffix, "jh"):
		return "JiHu GitLab"
	case strings.HasPrefix(suffix, "ee"), v.Enterprise != nil && *v.Enterprise:
		return "Enterprise Edition"
	case v.Enterprise != nil:
		return CommunityEdition
	}
	return ""
}

// TokenUser is whom the client's token belongs to.
type TokenUser struct {
	ID       int64
	Username string
	Bot      bool // made for a project or group access token, or a service account
	Admin    bool // GitLab says it to admins only
	// Address is the base URL by which GitLab calls itself in its pages; "" if it does
	// not say it. AddressKnown is set if that is --gitlab-url or an alias.
	Address      string
	AddressKnown bool
}

// TokenUser returns whom the client's token belongs to, and learns GitLab's own
// address from the answer, as LearnAddress does.
func (c *Client) TokenUser(ctx context.Context) (TokenUser, error) {
	answer, err := c.user(ctx)
	if err != nil {
		return TokenUser{}, err
	}
	u := TokenUser{ID: int64(answer.ID), Username: answer.Username, Bot: answer.Bot, Admin: answer.IsAdmin}
	if own := c.learnAddress(answer); own != (address{}) {
		u.Address, u.AddressKnown = own.String(), c.addresses.isConfigured(own)
	}
	return u, nil
}

// OutboundRequests are the settings of an instance that limit where its webhooks may
// send requests.
type OutboundRequests struct {
	LocalAllowed bool     // webhooks may send requests to the local network
	Allowlist    []string // to what they may in any case: see Allows
}

// Allows reports whether webhooks may send requests to a URL in the local network. An
// entry of the allowlist is an IP address, a network or a domain, which does not include
// its subdomains; each may have a port (UrlAllowlist in GitLab's source).
func (o OutboundRequests) Allows(u *url.URL) bool {
	return o.LocalAllowed || slices.ContainsFunc(o.Allowlist, func(entry string) bool {
		host, port := entry, ""
		if h, p, err := net.SplitHostPort(entry); err == nil {
			host, port = h, p
		}
		if port != "" && port != cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]) {
			return false
		}
		if network, err := netip.ParsePrefix(host); err == nil {
			ip, err := netip.ParseAddr(u.Hostname())
			return err == nil && network.Contains(ip)
		}
		return strings.EqualFold(host, u.Hostname())
	})
}

// OutboundRequests returns these settings. GitLab shows them to admins only; any other
// user gets 403.
func (c *Client) OutboundRequests(ctx context.Context) (OutboundRequests, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.Settings, Path: "application/settings"}
	answer, resp, err := rest.Call(ctx, c.Client, r, settingsJSON{})
	if err != nil {
		return OutboundRequests{}, err
	}
	allowed := answer.WebHooks
	if allowed == nil {
		allowed = answer.Hooks
	}
	if allowed == nil {
		return OutboundRequests{}, rest.Unexpected(c.Client, r, resp, "the answer does not say whether webhooks may send requests to the local network")
	}
	return OutboundRequests{LocalAllowed: *allowed, Allowlist: answer.Allowlist}, nil
}

type settingsJSON struct {
	WebHooks  *bool    `json:"allow_local_requests_from_web_hooks_and_services"` // 12.2+
	Hooks     *bool    `json:"allow_local_requests_from_hooks_and_services"`
	Allowlist []string `json:"outbound_local_requests_whitelist"`
}

// tokenUserJSON is the answer to GET /user.
type tokenUserJSON struct {
	ID       gitlabjson.Int `json:"id"`
	Username string         `json:"username"`
	WebURL   string         `json:"web_url"`
	Bot      bool           `json:"bot"`
	IsAdmin  bool           `json:"is_admin"`
}

// user requests whom the token belongs to.
func (c *Client) user(ctx context.Context) (tokenUserJSON, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.User, Path: "user"}
	answer, resp, err := rest.Call(ctx, c.Client, r, tokenUserJSON{})
	if err == nil && answer.Username == "" {
		err = rest.Unexpected(c.Client, r, resp, "the answer is no user")
	}
	return answer, err
}
