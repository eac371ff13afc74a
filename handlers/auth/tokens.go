package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// tokenTTL is how long an answer of GitLab about a token is believed: a token that is
	// revoked, or whose user leaves a group, works for so long.
	tokenTTL = time.Minute
	// maxTokens bounds the tokens that are remembered.
	maxTokens = 1000
	// groupsPerPage is the most that GitLab gives; maxGroupPages bounds the requests for
	// one token.
	groupsPerPage = 100
	maxGroupPages = 50

	bearerChallenge = `Bearer realm="pipesteward"`
)

// tokens authenticates programs by access tokens of GitLab: personal, project and group
// access tokens. GitLab is asked whose a token is.
//
// A token can do no more here than at GitLab: operating needs one with scope api, with
// which its holder could do all that Pipesteward does for the user anyway; one with scope
// read_api only reads. Tokens of OAuth applications are refused: whoever runs such an
// application has tokens of its users, who never meant to let it in here. So are ID
// tokens: any CI job of a user may have one made for any audience, this application's
// too (the keyword id_tokens), signed with the same keys as those of a sign-in.
type tokens struct {
	gitlab   string // its URL
	client   *http.Client
	roles    Roles
	attempts *attempts
	now      func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]knownToken // by the hash of a token that was valid
}

type knownToken struct {
	sender  Identity
	expires time.Time
}

func newTokens(gitlab string, client *http.Client, roles Roles, attempts *attempts, now func() time.Time) *tokens {
	return &tokens{gitlab: gitlab, client: client, roles: roles, attempts: attempts, now: now, known: map[[sha256.Size]byte]knownToken{}}
}

// identify returns whose the token is; its error is a *refusal.
func (t *tokens) identify(r *http.Request, token string) (Identity, error) {
	switch {
	case strings.HasPrefix(token, "eyJ"):
		return Identity{}, unauthenticated(bearerChallenge, "this is an ID token or a job token, which any CI job can have: send a personal, project or group access token of GitLab")
	case len(token) < 20 || len(token) > 512 || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return Identity{}, unauthenticated(bearerChallenge, "this is not an access token of GitLab")
	}
	hash := sha256.Sum256([]byte(token))
	if sender, ok := t.recall(hash); ok {
		return sender, nil
	}
	ctx, cancel := withTimeout(r)
	defer cancel()
	var sender Identity
	var refused error
	right, err := t.attempts.check(ctx, senderOf(r), func() (bool, error) {
		var ok bool
		if sender, ok = t.recall(hash); ok { // a request beside this one asked GitLab
			return true, nil
		}
		var err error
		sender, err = t.ask(ctx, token)
		if isRefusal(err) {
			refused = err
			return false, nil
		}
		return err == nil, err
	})
	switch {
	case isRefusal(err):
		return Identity{}, err
	case err != nil:
		return Identity{}, unavailable("GitLab can't say now whose this token is: %v", err)
	case !right:
		return Identity{}, refused
	}
	t.remember(hash, sender)
	return sender, nil
}

// recall returns whose token has the hash, if GitLab was asked lately.
func (t *tokens) recall(hash [sha256.Size]byte) (Identity, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[hash]
	return known.sender, ok && t.now().Before(known.expires)
}

func (t *tokens) remember(hash [sha256.Size]byte, sender Identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= maxTokens {
		now := t.now()
		for other, k := range t.known {
			if !now.Before(k.expires) {
				delete(t.known, other)
			}
		}
	}
	if len(t.known) < maxTokens {
		t.known[hash] = knownToken{sender, t.now().Add(tokenTTL)}
	}
}

// ask asks GitLab whose the token is. A *refusal says why it is not accepted.
func (t *tokens) ask(ctx context.Context, token string) (Identity, error) {
	var self struct {
		UserID int64    `json:"user_id"`
		Scopes []string `json:"scopes"`
	}
	// It answers 400 to any token that is not a personal, project or group access token
	// (lib/api/personal_access_tokens/self_information.rb).
	switch err := t.get(ctx, token, "/personal_access_tokens/self", &self); {
	case isStatus(err, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound):
		return Identity{}, unauthenticated(bearerChallenge, "GitLab does not know this token as a personal, project or group access token, or it is revoked or expired")
	case err != nil:
		return Identity{}, err
	}
	mayOperate := slices.Contains(self.Scopes, "api")
	if !mayOperate && !slices.Contains(self.Scopes, "read_api") {
		return Identity{}, forbidden("the token has not the scope that is needed: read_api to read, api to change something")
	}
	var user struct {
		ID       int64  `json:"id"`
		Username string `json:"username"`
		State    string `json:"state"`
	}
	if err := t.get(ctx, token, "/user", &user); err != nil {
		return Identity{}, err
	}
	if user.ID != self.UserID || user.Username == "" || user.State != "active" {
		return Identity{}, unauthenticated(bearerChallenge, "the user of this token is not active in GitLab")
	}
	groups, err := t.groups(ctx, token)
	return Identity{User: user.Username, Groups: t.roles.named(groups), ReadOnly: !mayOperate}, err
}

// groups lists the groups whose member the user is, with any role, directly or by a
// group above, as the userinfo endpoint does in a sign-in.
func (t *tokens) groups(ctx context.Context, token string) ([]string, error) {
	const guest = 10
	if !t.roles.nameGroups() {
		return nil, nil
	}
	var paths []string
	for page := 1; page <= maxGroupPages; page++ {
		var groups []struct {
			Path string `json:"full_path"`
		}
		if err := t.get(ctx, token, fmt.Sprintf("/groups?min_access_level=%d&per_page=%d&page=%d", guest, groupsPerPage, page), &groups); err != nil {
			return nil, err
		}
		for _, g := range groups {
			paths = append(paths, g.Path)
		}
		if len(groups) < groupsPerPage {
			break
		}
	}
	return paths, nil
}

// statusError is an answer of GitLab that is not 200.
type statusError int

func (e statusError) Error() string { return "it answers " + strconv.Itoa(int(e)) }

func isStatus(err error, codes ...int) bool {
	status, ok := errors.AsType[statusError](err)
	return ok && slices.Contains(codes, int(status))
}

// get reads JSON from GitLab's API. Its errors hold no token.
func (t *tokens) get(ctx context.Context, token, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.gitlab+"/api/v4"+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return statusError(resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
