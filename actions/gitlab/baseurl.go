package gitlab

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// CheckURL returns what is wrong with the base URL of an instance, nil for nothing. It
// sends no request.
func CheckURL(text string) error {
	_, err := parseBaseURL(text)
	return err
}

// parseBaseURL parses an instance's base URL. It ignores a slash and an /api/v4 at
// the end. Its errors never contain a secret of the URL.
func parseBaseURL(text string) (*url.URL, error) {
	const want = "write the address of your GitLab, for instance https://gitlab.com or https://example.com/gitlab"
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the GitLab URL is empty: " + want)
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		// Its error may quote a part of a password.
		return nil, fmt.Errorf("the GitLab URL %q can't be read: %s", redact.URL(text), want)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the GitLab URL has a user name or password: leave them out, the token is a setting of its own")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the GitLab URL %q does not begin with https:// or http://: %s", redact.URL(text), want)
	case u.Hostname() == "":
		return nil, fmt.Errorf("the GitLab URL %q has no host: %s", redact.URL(text), want)
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("the GitLab URL has a query (?...): leave it out")
	case u.Fragment != "":
		return nil, errors.New("the GitLab URL has a fragment (#...): leave it out")
	}
	path := strings.TrimRight(u.Path, "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/api/v4"), "/")
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: path}, nil
}
