package doctor

import (
	"context"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// checkOutbound tells whether GitLab may send to the webhooks' addresses: it refuses
// those in its local network until an administrator allows them.
func checkOutbound(ctx context.Context, x *exam) []Finding {
	found, _ := x.outbound.get(func() ([]Finding, error) { return x.allowedAddresses(ctx), nil })
	return found
}

// allowedAddresses compares the addresses with the settings of GitLab.
func (x *exam) allowedAddresses(ctx context.Context) []Finding {
	all, err := x.theWebhooks(ctx)
	if err != nil {
		return notChecked(err)
	}
	addresses := maps.Clone(all.Addresses)
	if u, err := url.Parse(x.Webhook.URL); err == nil && x.Webhook.URL != "" {
		addresses[redact.URL(x.Webhook.URL)] = u
	}
	var private []string
	for _, address := range slices.Sorted(maps.Keys(addresses)) {
		if isPrivate(strings.ToLower(addresses[address].Hostname())) {
			private = append(private, address)
		}
	}
	if len(private) == 0 {
		return ok("no webhook's address is known to be in a private network")
	}
	const allow = "let an administrator allow it: Admin, Settings, Network, Outbound requests"
	settings, err := x.GitLab.OutboundRequests(ctx)
	_, accepted := all.Addresses[private[len(private)-1]]
	switch {
	case apierror.IsFinal(err, 403, 404) && accepted && len(private) == 1:
		return one(Note, private[0]+" is in a private network: GitLab has taken the address, so an administrator had allowed that", "")
	case apierror.IsFinal(err, 403, 404):
		return one(Unknown, private[0]+" is in a private network, to which GitLab sends nothing by default; GitLab shows only to an administrator whether it does", allow)
	case err != nil:
		return notChecked(err)
	case settings.LocalAllowed:
		return ok("GitLab sends to private networks")
	}
	for _, address := range private {
		if !settings.Allows(addresses[address]) {
			return one(Problem, address+" is in a private network, and GitLab sends nothing there", allow)
		}
	}
	return ok("GitLab sends to the private addresses of its webhooks")
}

// isPrivate reports whether a host is in a private network, as far as its name tells.
func isPrivate(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	}
	local := slices.ContainsFunc([]string{".local", ".internal", ".lan", ".localhost", ".svc", ".cluster.local"}, func(end string) bool { return strings.HasSuffix(host, end) })
	return local || host == "localhost" || host != "" && !strings.Contains(host, ".")
}
