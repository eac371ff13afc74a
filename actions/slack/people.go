package slack

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// How long this process remembers whom it found, and whom it did not.
const (
	foundFor   = 6 * time.Hour
	missingFor = 10 * time.Minute
	// maxPeople bounds how many it remembers.
	maxPeople = 10_000
	// maxMentions bounds the mentions of a message.
	maxMentions = 20
)

// people remembers the ids of people, of conversations with them, and of user groups. Each
// process has its own: what one finds costs another a single call in hours. Its zero value
// is ready.
type people struct {
	mu     sync.Mutex
	of     *session             // whose workspace they are of
	known  map[string]knownID   // by the method and its argument
	groups map[string]string    // ids of user groups by handle
	listed time.Time            // until when groups is valid
	logged map[string]time.Time // errors, by their code: each is logged once in a while
}

// knownID is an id, "" for one that Slack does not have.
type knownID struct {
	id    string
	until time.Time
}

// reset forgets everything if another token is in use. mu is held.
func (p *people) reset(s *session) {
	if p.of != s {
		p.of, p.known, p.groups, p.listed, p.logged = s, map[string]knownID{}, nil, time.Time{}, map[string]time.Time{}
	}
}

// remember returns the id that is remembered for a key, else that of find, which returns
// "" if there is none.
func (n *Notifier) remember(key string, find func() (string, error)) (string, error) {
	p, now := &n.people, n.now()
	p.mu.Lock()
	p.reset(n.api())
	known, is := p.known[key]
	p.mu.Unlock()
	if is && now.Before(known.until) {
		return known.id, nil
	}
	id, err := find()
	if err != nil {
		return "", err
	}
	span := foundFor
	if id == "" {
		span = missingFor
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPeople {
		clear(p.known)
	}
	p.known[key] = knownID{id, now.Add(span)}
	return id, nil
}

// userOf returns the id of the user with an e-mail address; "" if there is none, or if
// GitLab did not send the address.
func (n *Notifier) userOf(ctx context.Context, email string) (string, error) {
	return n.lookUpUser(ctx, email, "users.lookupByEmail ", func(u *slackapi.User) bool { return !u.Deleted })
}

// memberOf is userOf for a full member of the workspace: whoever pushes a commit chooses its
// e-mail address, and nothing about a pipeline is sent to guests and to people of other
// organizations because of that.
func (n *Notifier) memberOf(ctx context.Context, email string) (string, error) {
	return n.lookUpUser(ctx, email, "member ", func(u *slackapi.User) bool {
		who := personOf(u)
		return !who.Deleted && !who.Bot && !who.Guest && !who.Stranger
	})
}

// lookUpUser returns the id of the user with an e-mail address whom want accepts, as it is
// remembered under a prefix of its own.
func (n *Notifier) lookUpUser(ctx context.Context, email, prefix string, want func(*slackapi.User) bool) (string, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	if !strings.Contains(email, "@") { // empty, or [REDACTED]
		return "", nil
	}
	return n.remember(prefix+email, func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, callFor)
		defer cancel()
		user, err := n.api().GetUserByEmailContext(ctx, email)
		if err != nil {
			if e := n.failed("users.lookupByEmail", "", err); e.Code != "users_not_found" {
				return "", e
			}
			return "", nil
		}
		if !want(user) {
			return "", nil
		}
		return user.ID, nil
	})
}

// groupOf returns the id of the user group with a handle, "" if there is none.
func (n *Notifier) groupOf(ctx context.Context, handle string) (string, error) {
	p, now := &n.people, n.now()
	p.mu.Lock()
	p.reset(n.api())
	id, valid := p.groups[handle], now.Before(p.listed)
	p.mu.Unlock()
	if valid {
		return id, nil
	}
	groups, err := n.Reader().Groups(ctx)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups, p.listed = groups, now.Add(foundFor)
	if groups[handle] == "" {
		p.listed = now.Add(missingFor) // somebody may create it
	}
	return groups[handle], nil
}

// mentions returns the mentions of a notice, as mrkdwn. Who is not found is left out, and
// so is everybody whom Slack does not let the bot look up.
func (n *Notifier) mentions(ctx context.Context, o event.Outcome, whom []string) string {
	ctx, cancel := context.WithTimeout(ctx, callFor) // for all together
	defer cancel()
	var all []string
	seen := map[string]bool{}
	for _, who := range whom[:min(len(whom), maxMentions)] {
		mention, err := n.mention(ctx, o, who)
		if err != nil {
			n.logMissing(ctx, err)
		}
		if mention != "" && !seen[mention] {
			seen[mention] = true
			all = append(all, mention)
		}
	}
	return strings.Join(all, " ")
}

func (n *Notifier) mention(ctx context.Context, o event.Outcome, who string) (string, error) {
	var user string
	var err error
	switch handle, isGroup := strings.CutPrefix(who, "@"); {
	case isGroup:
		group, err := n.groupOf(ctx, handle)
		if group == "" {
			return "", err
		}
		return "<!subteam^" + mrkdwn.Escape(group) + ">", nil
	case who == event.MentionAuthor:
		user, err = n.userOf(ctx, o.Commit.AuthorEmail)
	case who == event.MentionTriggerer:
		user, err = n.userOf(ctx, o.User.Email)
	case isID(who):
		user = who
	}
	if user == "" {
		return "", err
	}
	return "<@" + mrkdwn.Escape(user) + ">", nil
}

// logMissing logs why mentions are left out: once in hours for each reason.
func (n *Notifier) logMissing(ctx context.Context, err error) {
	code := err.Error()
	if e, is := errors.AsType[*Error](err); is {
		code = e.Method + " " + e.Code
	}
	p := &n.people
	p.mu.Lock()
	known := n.now().Before(p.logged[code])
	if !known && len(p.logged) < maxPeople {
		p.logged[code] = n.now().Add(foundFor)
	}
	p.mu.Unlock()
	if !known {
		n.log.WarnContext(ctx, "people can't be looked up in Slack, and mentions of them are left out", "error", err)
	}
}

// direct returns the id of the conversation with the author of the outcome's commit, else
// with the user who triggered the pipeline, if that is a full member of the workspace.
func (n *Notifier) direct(ctx context.Context, o event.Outcome) (string, error) {
	user, err := n.memberOf(ctx, o.Commit.AuthorEmail)
	if user == "" && err == nil {
		user, err = n.memberOf(ctx, o.User.Email)
	}
	if err != nil {
		return "", err
	}
	if user == "" {
		return "", &Error{
			Method: "users.lookupByEmail", Code: "users_not_found",
			advice: "neither the commit's author nor the user who triggered the pipeline is a full member of the workspace in Slack with the e-mail address that GitLab sends" +
				noAddress(o) + ": name a channel beside `channel: author`, or use the same address in both",
		}
	}
	return n.remember("conversations.open "+user, func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, callFor)
		defer cancel()
		c, _, _, err := n.api().OpenConversationContext(ctx, &slackapi.OpenConversationParameters{Users: []string{user}})
		if err == nil && (c == nil || c.ID == "") {
			err = errNoAnswer
		}
		if err != nil {
			return "", n.failed("conversations.open", "", err)
		}
		return c.ID, nil
	})
}

// noAddress says so if GitLab sent no e-mail address at all.
func noAddress(o event.Outcome) string {
	if strings.Contains(cmp.Or(o.Commit.AuthorEmail, o.User.Email), "@") || strings.Contains(o.User.Email, "@") {
		return ""
	}
	return " (it sent none)"
}
