package auth

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// CheckHost returns an error if requests with the Host header are not answered on a
// listener of the address.
//
// A web page may make its own name resolve to the listener's address once it is loaded,
// and then read from it although the browser's same-origin policy forbids that (DNS
// rebinding); the browser still sends the page's name as Host. That name is neither an
// address nor a name without a dot. So names with a dot are refused where who reaches the
// address is trusted: on loopback all but its own names, and on an address that is open to
// everybody. The host of the external URL is always answered.
func (a *Authorizer) CheckHost(addr net.Addr, host string) error {
	name := hostname(host)
	if external := a.ExternalURL(); external != nil && strings.EqualFold(name, external.Hostname()) {
		return nil
	}
	if IsLoopback(addr) {
		if IsLoopbackHost(host) {
			return nil
		}
		return fmt.Errorf("this address answers only to localhost, 127.0.0.0/8 and [::1], and not to %q: use one of them, or let --admin-external-url name the host that people use", host)
	}
	if a == nil || !a.insecure {
		return nil
	}
	if _, err := netip.ParseAddr(name); err == nil || name != "" && !strings.Contains(name, ".") {
		return nil
	}
	return fmt.Errorf("this address asks nobody who they are, so it answers only to IP addresses and names without a dot, and not to %q: use one of them, or let --admin-external-url name the host that people use", host)
}

// IsLoopback reports whether a listener on the address can be reached from this
// machine only.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// IsLoopbackHost reports whether a Host header is localhost or a loopback address,
// with or without a port.
func IsLoopbackHost(host string) bool {
	name := hostname(host)
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// hostname returns a Host header without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
