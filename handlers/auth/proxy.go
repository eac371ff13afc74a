package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ProxyConfig says which proxies authenticate senders, and how they name them.
type ProxyConfig struct {
	UserHeader   string
	GroupsHeader string   // its value has commas between groups; "": there are no groups
	Trusted      []string // addresses and networks of the proxies, like 10.0.0.0/8; none: loopback
}

// loopback are the networks of this machine.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// proxyHeaders takes the sender's name and groups from headers, if the request comes from
// a trusted proxy. The proxy has to remove these headers from what its own clients send.
// A header that is there twice is refused, because one of the two may be a client's.
type proxyHeaders struct {
	user, groups string
	trusted      []netip.Prefix
}

var _ authenticator = (*proxyHeaders)(nil)

func newProxyHeaders(cfg ProxyConfig) (p *proxyHeaders, wrong ConfigErrors) {
	const user, groups = "admin-proxy-user-header", "admin-proxy-groups-header"
	p = &proxyHeaders{user: textproto.CanonicalMIMEHeaderKey(cfg.UserHeader), groups: textproto.CanonicalMIMEHeaderKey(cfg.GroupsHeader), trusted: loopback}
	wrong.addMalformed(user, checkHeader(p.user))
	if p.groups != "" {
		wrong.addMalformed(groups, checkHeader(p.groups))
	}
	if p.user == p.groups {
		wrong.addMalformed(groups, errors.New("it is the same as --"+user))
	}
	if len(cfg.Trusted) > 0 {
		p.trusted = nil
	}
	for _, text := range cfg.Trusted {
		network, err := parseNetwork(text)
		wrong.addMalformed("admin-trusted-proxies", err)
		p.trusted = append(p.trusted, network)
	}
	return p, wrong
}

// checkHeader returns why a header can't be a proxy's.
func checkHeader(name string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is not the name of a header, like X-Forwarded-User", name)
	case slices.Contains([]string{"Authorization", "Cookie", "Host", "Connection", "Origin", "Content-Type"}, name):
		return fmt.Errorf("every client sends %s: name a header of the proxy, like X-Forwarded-User", name)
	}
	return nil
}

// parseNetwork parses an address, or a network that leaves someone out.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return network, fmt.Errorf("%q is not an address or a network, like 10.0.0.0/8", text)
	case network.Bits() == 0:
		return network, fmt.Errorf("%q is everybody, and everybody could claim to be anybody: name the proxies", text)
	}
	return network.Masked(), nil
}

func (p *proxyHeaders) authenticate(r *http.Request) (Identity, error) {
	from := senderOf(r)
	if !slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(from) }) {
		return Identity{}, forbidden("%s is no trusted proxy: send the request through the proxy, or add its address to --admin-trusted-proxies", from)
	}
	for _, name := range []string{p.user, p.groups} {
		if name != "" && len(r.Header.Values(name)) > 1 {
			return Identity{}, unauthenticated("", "the header %s is there twice, and one may be forged: let the proxy remove it from the requests of its clients", name)
		}
	}
	sender := Identity{User: strings.TrimSpace(r.Header.Get(p.user))}
	if sender.User == "" {
		return Identity{}, unauthenticated("", "the proxy gave no user in the header %s: let it authenticate the request first", p.user)
	}
	if p.groups != "" {
		for group := range strings.SplitSeq(r.Header.Get(p.groups), ",") {
			if group = strings.TrimSpace(group); group != "" {
				sender.Groups = append(sender.Groups, group)
			}
		}
	}
	return sender, nil
}
