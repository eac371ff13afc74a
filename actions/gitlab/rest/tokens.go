package rest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// tokens are the tokens in use. They are replaced as a whole.
type tokens struct {
	access string // personal, project or group access token
	job    string // CI_JOB_TOKEN

	secrets []string            // these, and those that were in use before
	redact  func(string) string // removes all secrets from a text
}

// maxSecrets bounds how many tokens are kept in order to redact them: an answer
// to a request with an old one may come late.
const maxSecrets = 10

// CheckToken returns an error if a token has characters that no token has, and no HTTP
// header can contain. Its text is about "the token".
func CheckToken(token string) error {
	odd := func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || unicode.IsSpace(r) }
	if strings.ContainsFunc(token, odd) {
		return errors.New("has a space, a line break or another character that no token has")
	}
	return nil
}

// newTokens returns an error for tokens that are missing, unless none is to be sent,
// or that no HTTP header can contain, mostly because they were read from a file with the line's end.
func newTokens(access, job string, anonymous bool, before []string) (*tokens, error) {
	if access == "" && job == "" && !anonymous {
		return nil, errors.New("gitlab: no token: GitLab answers none of the Jobs API without one")
	}
	if err := CheckToken(access); err != nil {
		return nil, fmt.Errorf("gitlab: the token %w", err)
	}
	if err := CheckToken(job); err != nil {
		return nil, fmt.Errorf("gitlab: the job token %w", err)
	}
	t := &tokens{access: access, job: job}
	for _, token := range append([]string{access, job}, before...) {
		if token != "" && !slices.Contains(t.secrets, token) && len(t.secrets) < maxSecrets {
			t.secrets = append(t.secrets, token)
		}
	}
	t.redact = redact.Known("[token]", t.secrets...)
	return t, nil
}

// SetToken replaces the access token for all requests from now on, of all views
// of the client. After an error the old one stays in use.
func (c *Client) SetToken(token string) error {
	if token == "" {
		return errors.New("gitlab: the new token is empty")
	}
	before := c.tokens.Load()
	t, err := newTokens(token, before.job, false, before.secrets)
	if err != nil {
		return err
	}
	c.tokens.Store(t)
	c.breakers.ProbeSoon()
	return nil
}
