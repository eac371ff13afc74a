package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// checkReachable tells what is between this machine and GitLab.
func checkReachable(ctx context.Context, x *exam) []Finding {
	_, err := x.tokenUser(ctx)
	switch {
	case x.GitLab == nil && x.GitLabErr == nil:
		return notChecked(errNoGitLab)
	case x.GitLab == nil:
		return one(Problem, oneLine(x.GitLabErr), "correct the setting")
	case answered(err), errors.Is(err, errNoToken):
		return ok(x.GitLab.Instance() + " answers")
	case ctx.Err() != nil:
		return notChecked(ctx.Err())
	}
	seen, advice := obstacle(err)
	f := one(Problem, x.GitLab.Instance()+": "+seen, advice)
	f[0].Passing = event.Transient(err)
	return f
}

// obstacle says why GitLab did not answer, and what to do.
func obstacle(err error) (seen, advice string) {
	e := failureOf(err)
	_, other := errors.AsType[*notGitLabError](err)
	switch {
	case other:
		return err.Error(), "write the address of GitLab as --gitlab-url, with its path if it has one"
	case e == nil:
		return firstLine(err), "correct the setting"
	case e.Limited():
		return "a rate limit allows no request now: " + e.Message, "try again later"
	case e.Cause != nil:
		return networkObstacle(e.Cause, peer{"GitLab", "--gitlab-url"})
	case e.Status >= 300 && e.Status < 400:
		return e.Message, "write the address that GitLab has, and let no login page or proxy stand between"
	case e.Suspect == apierror.TroubleAnswers, e.Status < 300:
		return e.Message, "write the address of GitLab, without a page behind it, and let no login page or proxy stand between"
	case e.Status >= 500:
		return "GitLab or a proxy before it answers " + apierror.Words(err), "see whether GitLab is up"
	}
	return e.Message, "see whether GitLab is up, and can be reached from here"
}

// peer is what requests are sent to.
type peer struct {
	name    string
	setting string // that has its address
}

// networkObstacle says why a request got no answer at all.
func networkObstacle(cause error, of peer) (seen, advice string) {
	address := "check " + of.setting
	dns, isDNS := errors.AsType[*net.DNSError](cause)
	dial, isDial := errors.AsType[*net.OpError](cause)
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](cause)
	host, isHost := errors.AsType[x509.HostnameError](cause)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](cause)
	_, isPlain := errors.AsType[tls.RecordHeaderError](cause)
	switch text := apierror.Network(cause); {
	case isDial && dial.Op == "proxyconnect":
		return "the proxy can't be reached: " + text, "correct HTTPS_PROXY, HTTP_PROXY or NO_PROXY in the environment"
	case isDNS && dns.IsNotFound:
		return "there is no host " + dns.Name + " (DNS)", address + ", and the DNS of this machine"
	case isDNS:
		return "the name can't be looked up (DNS): " + dns.Error(), "check the DNS of this machine"
	case isUnknown:
		return "its TLS certificate is of an unknown authority: " + unknown.Error(), "add the certificate of your authority to the system's, or name its file in SSL_CERT_FILE"
	case isHost:
		return "its TLS certificate is for other hosts: " + host.Error(), address + ": write a host that the certificate names"
	case isInvalid && invalid.Reason == x509.Expired:
		return "its TLS certificate has expired, or is not valid yet: " + invalid.Error(), "renew the certificate of " + of.name + ", and check the clock of this machine"
	case isInvalid:
		return "its TLS certificate is not valid: " + invalid.Error(), "mend the certificate of " + of.name
	case isPlain, strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "no TLS is spoken there", address + ": http:// for https://, or another port?"
	case strings.Contains(text, "malformed HTTP response"):
		return "no HTTP is spoken there", address + ": https:// for http://, or another port?"
	case strings.Contains(text, "connection refused"):
		return "nothing listens there (connection refused)", address + ", and whether " + of.name + " is up"
	case isTimeout(cause):
		return "no answer came in time", "see whether a firewall keeps this machine from " + of.name + ", and whether a proxy is needed (HTTPS_PROXY)"
	default:
		return text, "see whether " + of.name + " is up, and can be reached from here"
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// gitlabVersion returns GitLab's version.
func (x *exam) gitlabVersion(ctx context.Context) (gitlab.Version, error) {
	return x.version.get(func() (gitlab.Version, error) {
		if err := x.usable(ctx); err != nil {
			return gitlab.Version{}, err
		}
		return x.GitLab.Version(ctx)
	})
}

// oldVersions are what older versions lack, the newest first. The facts are in GitLab's
// documentation and source.
var oldVersions = []struct {
	major, minor int
	lacks        string
}{
	{17, 4, "its webhooks have no Idempotency-Key, and are disabled for good after four failures in a row: `serve` answers 500 where others answer 503, and catch-up finds what was lost"},
	{15, 9, "it lists jobs page by page, so that a sweep of a million jobs is slow"},
	{14, 9, "it can't play a job with variables"},
}

func checkVersion(ctx context.Context, x *exam) []Finding {
	v, err := x.gitlabVersion(ctx)
	if err != nil {
		return notChecked(err)
	}
	if v.Number == "" {
		return one(Note, "GitLab does not say its version", "")
	}
	seen := "version " + v.Number
	if v.Edition != "" {
		seen += ", " + v.Edition
	}
	var major, minor int
	if n, _ := fmt.Sscanf(v.Number, "%d.%d", &major, &minor); n < 2 {
		return ok(seen)
	}
	for _, old := range oldVersions {
		if major < old.major || major == old.major && minor < old.minor {
			return one(Note, fmt.Sprintf("%s, older than %d.%d: %s", seen, old.major, old.minor, old.lacks), "")
		}
	}
	return ok(seen)
}

// checkAddress compares GitLab's own address with the settings. `serve` accepts
// deliveries that name either.
func checkAddress(ctx context.Context, x *exam) []Finding {
	user, err := x.tokenUser(ctx)
	switch {
	case err != nil:
		return notChecked(err)
	case user.Address == "":
		return one(Note, "GitLab does not say its own address: deliveries must name --gitlab-url or a --gitlab-alias", "")
	case !user.AddressKnown:
		return one(Note, fmt.Sprintf("GitLab calls itself %s, and is reached at %s: deliveries from both are accepted", user.Address, x.GitLab.Instance()),
			"if these are two GitLabs, correct --gitlab-url; else nothing is to be done")
	}
	return ok("GitLab calls itself " + user.Address)
}

const (
	// clockWarning is how far the clocks may differ: both are compared when an age or
	// the beginning of a project is.
	clockWarning = 10 * time.Second
	// clockProblem is from when on the signatures of deliveries are refused: they may
	// be 5 minutes old.
	clockProblem = 4 * time.Minute
)

func checkClock(ctx context.Context, x *exam) []Finding {
	_, err := x.tokenUser(ctx)
	if _, other := errors.AsType[*notGitLabError](err); other || x.GitLab == nil {
		return notChecked(err)
	}
	ahead, known := x.GitLab.ClockAhead()
	switch apart := ahead.Abs(); {
	case !known && err == nil:
		return one(Unknown, "not checked, because GitLab's answers have no date", "")
	case !known:
		return notChecked(err)
	case apart < clockWarning:
		return ok(fmt.Sprintf("the clocks differ by less than %s", max(time.Second, apart.Truncate(time.Second)+time.Second)))
	default:
		severity, side := Warning, "ahead of"
		if apart >= clockProblem {
			severity = Problem
		}
		if ahead < 0 {
			side = "behind"
		}
		return one(severity, fmt.Sprintf("the clock of this machine is %s %s GitLab's", event.Coarse(apart.Round(time.Second)), side),
			"set the clocks by NTP: signed deliveries are refused from 5m on, and ages are wrong")
	}
}

func checkRate(ctx context.Context, x *exam) []Finding {
	_, err := x.tokenUser(ctx)
	if !answered(err) {
		return notChecked(err)
	}
	if x.Rate.Per == 0 {
		return one(Unknown, "not checked, because --gitlab-rate can't be used", "")
	}
	quota, announced := x.GitLab.Quota()
	own := int(math.Round(float64(x.Rate.Limit+int(x.Rate.Capacity())-1) * float64(time.Minute) / float64(x.Rate.Per)))
	switch {
	case !announced:
		return ok(fmt.Sprintf("GitLab announces no general limit; --gitlab-rate is %d %s a minute", own, english.PluralWord(own, "request", "")))
	case own > quota.PerMinute:
		return one(Warning, fmt.Sprintf("GitLab allows %d %s a minute, and --gitlab-rate is %d", quota.PerMinute, english.PluralWord(quota.PerMinute, "request", ""), own),
			fmt.Sprintf("set --gitlab-rate %d/1m or less: other programs may use the same user", max(1, quota.PerMinute*9/10)))
	}
	return ok(fmt.Sprintf("GitLab allows %d %s a minute, and --gitlab-rate is %d", quota.PerMinute, english.PluralWord(quota.PerMinute, "request", ""), own))
}
