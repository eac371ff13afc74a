package doctor

import (
	"context"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// webhooks are what was found of the webhooks of all projects.
type webhooks struct {
	by     map[hooks.Verdict][]project
	hosts  map[string]string // of the webhooks that are ours, by their addresses without secrets
	unread []project         // after an error
	err    error             // why they were not read
}

// theWebhooks reads the webhooks of all projects that can be acted in. Those of a
// project in which the role does not suffice to see any are unreadable.
func (x *exam) theWebhooks(ctx context.Context) (webhooks, error) {
	return x.hooks.get(func() (webhooks, error) {
		f, err := x.theFleet(ctx)
		if err != nil {
			return webhooks{}, err
		}
		found := webhooks{by: map[hooks.Verdict][]project{}, hosts: map[string]string{}}
		inspector := hooks.NewInspector(x.GitLab, x.Webhook, false, x.Now)
		for i, p := range f.projects {
			x.Progress(i+1, len(f.projects), p.Path)
			switch {
			case p.Archived:
				continue
			case p.role < gitlab.Maintainer:
				found.by[hooks.Unreadable] = append(found.by[hooks.Unreadable], p)
				continue
			}
			plan, err := inspector.Project(ctx, p.Project.Project)
			switch {
			case apierror.IsHidden(err):
				found.by[hooks.Unreadable] = append(found.by[hooks.Unreadable], p)
				continue
			case err != nil:
				found.unread, found.err = f.projects[i:], err
				return found, nil //nolint:nilerr // it is a part of what was found
			}
			r := plan.Report(x.Now())
			found.by[r.Verdict] = append(found.by[r.Verdict], p)
			for _, h := range []*gitlab.Hook{plan.Ours, plan.Above} {
				if h != nil {
					found.hosts[redact.URL(h.URL)] = hostOf(h.URL)
				}
			}
		}
		return found, nil
	})
}

const ensure = "`pipesteward hooks ensure` "

// webhookVerdicts are the findings of the verdicts that are not in order.
var webhookVerdicts = []struct {
	verdict      hooks.Verdict
	severity     Severity
	seen, advice string
}{
	{hooks.Missing, Problem, "no webhook posts job and pipeline events to Pipesteward", ensure + "makes them"},
	{hooks.Disabled, Problem, "GitLab has stopped sending to the webhook after failed deliveries", ensure + "enables it by a test delivery, while `serve` runs"},
	{hooks.Failing, Problem, "the last delivery of the webhook failed", "`pipesteward hooks list --problems` shows the answer; " + ensure + "repairs what it can"},
	{hooks.Wrong, Warning, "settings of the webhook are wrong", "`pipesteward hooks list --problems` shows which; " + ensure + "repairs them"},
	{hooks.Doubled, Warning, "two webhooks deliver the same events", "`pipesteward hooks list --problems` shows which to delete"},
	{hooks.Unreadable, Unknown, "the token may not see the webhooks: that takes the role Maintainer", "look at Settings, Webhooks, or give the token's user the role"},
}

// checkWebhooks tells from which projects events do not come, or come twice.
func checkWebhooks(ctx context.Context, x *exam) []Finding {
	all, err := x.theWebhooks(ctx)
	if err != nil {
		return notChecked(err)
	}
	var found []Finding
	for _, v := range webhookVerdicts {
		found = append(found, about(all.by[v.verdict], v.severity, v.seen, v.advice)...)
	}
	if all.err != nil {
		unread := notChecked(all.err)
		unread[0].Projects = paths(all.unread)
		found = append(found, unread...)
	}
	if len(found) == 0 {
		return ok("events are delivered " + inProjects(len(all.by[hooks.OK])+len(all.by[hooks.Covered])))
	}
	return found
}

// checkOutbound tells whether GitLab may send to the webhooks' addresses: it refuses
// those in its local network until an administrator allows them.
func checkOutbound(ctx context.Context, x *exam) []Finding {
	all, err := x.theWebhooks(ctx)
	if err != nil {
		return notChecked(err)
	}
	hosts := maps.Clone(all.hosts)
	if x.Webhook.URL != "" {
		hosts[redact.URL(x.Webhook.URL)] = hostOf(x.Webhook.URL)
	}
	var private []string
	for _, address := range slices.Sorted(maps.Keys(hosts)) {
		if isPrivate(hosts[address]) {
			private = append(private, address)
		}
	}
	if len(private) == 0 {
		return ok("no webhook's address is known to be in a private network")
	}
	const allow = "let an administrator allow it: Admin, Settings, Network, Outbound requests"
	settings, err := x.GitLab.OutboundRequests(ctx)
	_, accepted := all.hosts[private[len(private)-1]]
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
		if !slices.Contains(settings.Allowlist, hosts[address]) {
			return one(Problem, address+" is in a private network, and GitLab sends nothing there", allow)
		}
	}
	return ok("GitLab sends to the private addresses of its webhooks")
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// isPrivate reports whether a host is in a private network, as far as its name tells.
func isPrivate(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	}
	local := slices.ContainsFunc([]string{".local", ".internal", ".lan", ".localhost", ".svc", ".cluster.local"}, func(end string) bool { return strings.HasSuffix(host, end) })
	return local || host == "localhost" || host != "" && !strings.Contains(host, ".")
}
