package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/rules/event"
)

// channels returns the channels that the rules name, each with the first rule that does.
func (x *exam) channels() map[string]string {
	named := map[string]string{}
	if x.Rules == nil {
		return named
	}
	for _, r := range x.Rules.All() {
		for _, to := range r.Notify {
			if to.Receiver != event.ReceiverSlack {
				continue
			}
			channel := to.Channel.Constant()
			if _, is := named[channel]; !is && channel != "" && channel != event.ChannelAuthor {
				named[channel] = fmt.Sprintf("rule %q", r.Name)
			}
		}
	}
	if storm := x.Rules.Storm().To.Channel; storm != "" && named[storm] == "" {
		named[storm] = "storms and outages"
	}
	return named
}

var errNoSlack = errors.New("there is no Slack token")

// theBot returns whom the Slack token belongs to.
func (x *exam) theBot(ctx context.Context) (slack.Bot, error) {
	return x.bot.get(func() (slack.Bot, error) {
		switch {
		case x.SlackErr != nil:
			return slack.Bot{}, x.SlackErr
		case x.Slack == nil:
			return slack.Bot{}, errNoSlack
		}
		return x.Slack.Bot(ctx)
	})
}

func checkSlackToken(ctx context.Context, x *exam) []Finding {
	bot, err := x.theBot(ctx)
	refused, isSlack := errors.AsType[*slack.Error](err)
	seen, advice := slackObstacle(refused)
	switch {
	case ctx.Err() != nil:
		return notChecked(ctx.Err())
	case errors.Is(err, errNoSlack):
		if n := len(x.channels()); n > 0 {
			return one(Warning, "there is no Slack token, and rules name channels: nobody is notified", "give --slack-token, or leave `notify` and `channel` out")
		}
		return ok("there is no Slack token, and no rule needs one")
	case seen != "":
		return []Finding{{Severity: Problem, Seen: "Slack can't be reached: " + seen, Advice: advice, Passing: event.Transient(err)}}
	case isSlack && event.Transient(err):
		return []Finding{{Severity: Problem, Seen: "Slack can't be used now: " + refused.Code, Advice: refused.Advice(), Passing: true}}
	case isSlack:
		return one(Problem, "Slack refuses the token: "+refused.Code, refused.Advice())
	case err != nil:
		return one(Problem, firstLine(err), "")
	}
	return ok(fmt.Sprintf("valid: @%s in %s", bot.User, bot.Team))
}

// slackObstacle says why Slack did not answer, and what to do; "" if it did, be it with
// a refusal.
func slackObstacle(e *slack.Error) (seen, advice string) {
	const check = "check --slack-api-url and the proxy"
	switch {
	case e == nil:
		return "", ""
	case e.Network() != nil:
		return networkObstacle(e.Network(), peer{"Slack", "--slack-api-url"})
	}
	status, isStatus := strings.CutPrefix(e.Code, "http_")
	switch {
	case isStatus && e.Silent():
		return "Slack or a proxy before it answers " + status, "see whether Slack is up (https://slack-status.com), and " + check
	case isStatus && status != "429":
		return "what answers " + status + " is not Slack's API", check
	case e.Silent():
		return "the answer is not one of Slack's API: " + e.Advice(), check
	}
	return "", ""
}

// slackScope is a scope, and what is missing without it.
type slackScope struct{ scope, without string }

// scopesOfRules returns the scopes that only some rules need.
func (x *exam) scopesOfRules() []slackScope {
	if x.Rules == nil {
		return nil
	}
	first := map[string]string{} // the first rule that needs a scope
	for _, r := range x.Rules.All() {
		for _, n := range r.Notify {
			if n.Receiver != event.ReceiverSlack {
				continue
			}
			direct := n.Channel.Constant() == event.ChannelAuthor
			people := slices.Contains(n.Mention, event.MentionAuthor) || slices.Contains(n.Mention, event.MentionTriggerer)
			group := slices.ContainsFunc(n.Mention, func(who string) bool { return strings.HasPrefix(who, "@") })
			for scope, needs := range map[string]bool{"users:read.email": direct || people, "usergroups:read": group, "im:write": direct, "im:history": direct} {
				if needs && first[scope] == "" {
					first[scope] = r.Name
				}
			}
		}
	}
	without := map[string]string{
		"users:read.email": "rule %q finds nobody by e-mail; it goes with users:read",
		"usergroups:read":  "rule %q mentions no user group",
		"im:write":         "rule %q sends no direct message",
		"im:history":       "after a crash a direct message of rule %q may appear twice",
	}
	var all []slackScope
	for _, scope := range slices.Sorted(maps.Keys(first)) {
		all = append(all, slackScope{scope, fmt.Sprintf(without[scope], first[scope])})
	}
	return all
}

// slackScopes are the scopes that the bot uses, and what is missing without each.
var slackScopes = []slackScope{
	{"chat:write", "nobody is notified"},
	{"channels:history", "after a crash a message may appear twice"},
	{"groups:history", "after a crash a message in a private channel may appear twice"},
	{"channels:read", "channels can't be looked up, here and after a crash"},
	{"groups:read", "private channels can't be looked up, here and after a crash"},
}

func checkSlackScopes(ctx context.Context, x *exam) []Finding {
	bot, err := x.theBot(ctx)
	switch {
	case err != nil:
		return slackNotChecked(err)
	case bot.Scopes == nil:
		return one(Unknown, "Slack does not say the scopes of the token", "compare the app with deploy/slack-app.yaml")
	}
	var lacking []string
	severity := Warning
	for _, s := range slices.Concat(slackScopes, x.SlackApp.scopes(), x.scopesOfRules()) {
		if !bot.May(s.scope) {
			lacking = append(lacking, fmt.Sprintf("%s (%s)", s.scope, s.without))
			if s.scope == "chat:write" {
				severity = Problem
			}
		}
	}
	if len(lacking) > 0 {
		return one(severity, "missing: "+strings.Join(lacking, ", "), "add them to the app's bot token scopes, as in deploy/slack-app.yaml, and install the app again")
	}
	return ok("all that are needed")
}

// checkSlackChannels tells to which channels that the rules name the bot can't post.
func checkSlackChannels(ctx context.Context, x *exam) []Finding {
	bot, err := x.theBot(ctx)
	switch {
	case err != nil:
		return slackNotChecked(err)
	case x.Rules == nil:
		return notChecked(errNoRules)
	}
	named := x.channels()
	var found []Finding
	var fixed []string
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if strings.Contains(name, "{{") {
			found = append(found, one(Note, fmt.Sprintf("%s (%s) depends on the event, and was not checked", name, named[name]), "")...)
			continue
		}
		fixed = append(fixed, name)
	}
	seen, whole, err := x.Slack.Channels(ctx, bot, fixed)
	if err != nil {
		unread := slackNotChecked(err)
		if refused, is := errors.AsType[*slack.Error](err); is {
			unread[0].Advice = refused.Advice()
			if _, advice := slackObstacle(refused); advice != "" {
				unread[0].Advice = advice
			}
		}
		return append(found, unread...)
	}
	for _, name := range fixed {
		c := seen[name]
		where := fmt.Sprintf("%s (%s)", name, named[name])
		invite := "invite the bot: /invite @" + bot.User + " in " + name
		switch {
		case !c.Found && !whole:
			found = append(found, one(Unknown, where+" was not found among the first channels of the workspace", invite)...)
		case !c.Found:
			found = append(found, one(Problem, where+": there is no such channel, or it is private and the bot is no member", "correct the name in the rules, or "+invite)...)
		case c.Archived:
			found = append(found, one(Problem, where+" is archived", "unarchive it, or name another channel in the rules")...)
		case !c.Member && (c.Private || bot.Scopes == nil || !bot.May("chat:write.public")):
			found = append(found, one(Problem, where+": the bot is no member", invite)...)
		}
	}
	if len(found) == 0 {
		return ok("the bot can post to all that rules name: " + english.Plural(len(fixed), "channel", ""))
	}
	return found
}

// slackNotChecked says why a check that needs Slack could not be made; nothing without a
// Slack token, which checkSlackToken reports.
func slackNotChecked(err error) []Finding {
	switch {
	case errors.Is(err, errNoSlack):
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return notChecked(err)
	}
	seen := "not checked, because Slack refuses: " + firstLine(err)
	if refused, is := errors.AsType[*slack.Error](err); is {
		seen = "not checked, because Slack says " + refused.Code
		if obstacle, _ := slackObstacle(refused); obstacle != "" {
			seen = "not checked, because Slack can't be reached"
		}
	}
	return []Finding{{Severity: Unknown, Seen: seen, Passing: event.Transient(err)}}
}
