package hooks

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Wanted is the webhook that projects or groups are to have: one that sends job and
// pipeline events.
type Wanted struct {
	// URL is the public address of this service's webhooks. "": only webhooks that are
	// present can be judged, and all with Path are ours.
	URL  string
	Path string // of the addresses of such services
	// Replaces are addresses whose webhooks are ours too, and get URL.
	Replaces []string
	// The secrets; "": the webhook's stays as it is.
	Token, SigningToken string
	// Rotate sets the secrets, also where nothing else is wrong: GitLab does not return
	// them, so that nobody sees which are in force.
	Rotate bool
	// KeepOnly creates no webhook where none is seen: the events of these projects may come
	// from one that the token may not see, such as a group's.
	KeepOnly bool
}

// CheckURL returns an error that describes what is wrong with the public address of a
// service whose path ends in path.
func CheckURL(text, path string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil: // which quotes the text, with its secrets
		return errors.New("it is no URL: write for instance https://pipesteward.example.com" + path)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return fmt.Errorf("%s has no scheme or no host: write for instance https://pipesteward.example.com%s", redact.URL(text), path)
	case !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), path):
		return fmt.Errorf("%s does not end in %s, where webhooks are received: write for instance %s://%s%s", redact.URL(text), path, u.Scheme, u.Host, path)
	case u.Fragment != "":
		return fmt.Errorf("%s has a fragment (#...), which GitLab does not send", redact.URL(text))
	}
	return nil
}

// place says whose a webhook is, by its address.
type place int

const (
	others    place = iota // somebody else's
	elsewhere              // of such a service at another address
	ours
)

// place returns whose a webhook is.
func (w Wanted) place(h gitlab.Hook) place {
	switch {
	case !h.HasPath(w.Path):
		return others
	case w.URL == "", sameAddress(h.URL, w.URL), w.replaces(h.URL):
		return ours
	}
	return elsewhere
}

func (w Wanted) replaces(address string) bool {
	for _, old := range w.Replaces {
		if sameAddress(address, old) {
			return true
		}
	}
	return false
}

// sameAddress reports whether two URLs have the same host, path and port. The default
// ports of HTTP and HTTPS count as one: a webhook that uses the other scheme is still
// ours.
func sameAddress(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && strings.EqualFold(ua.Hostname(), ub.Hostname()) && port(ua) == port(ub) &&
		strings.TrimSuffix(ua.Path, "/") == strings.TrimSuffix(ub.Path, "/")
}

// port returns the port of a URL, "" for the default one of its scheme.
func port(u *url.URL) string {
	if p := u.Port(); u.Scheme == "http" && p != "80" || u.Scheme == "https" && p != "443" {
		return p
	}
	return ""
}

// sameURL reports whether two URLs with the same address also have the same scheme.
func sameURL(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && ua.Scheme == ub.Scheme && sameAddress(a, b)
}

// usesTLS reports whether the URL's certificate can be verified.
func usesTLS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https"
}
