package slack

import (
	"context"
	"slices"
	"strings"

	slackapi "github.com/slack-go/slack"
)

// Reader reads who the bot of a token is, and which channels it sees. It changes
// nothing in Slack. Its errors are an [*Error].
type Reader struct{ *sessions }

// NewReader returns a Reader by the Token, the APIURL, the HTTPClient and Now of a config.
func NewReader(c Config) (*Reader, error) {
	r := &Reader{&sessions{}}
	if err := r.open(c); err != nil {
		return nil, err
	}
	return r, nil
}

// Reader returns a Reader with the token that the Notifier has in use.
func (n *Notifier) Reader() *Reader { return &Reader{&n.sessions} }

// Bot is whom a token belongs to.
type Bot struct {
	Team       string   // the workspace
	TeamID     string   // its id
	Enterprise string   // the id of the organization that the workspace is part of; "": of none
	User       string   // the bot's name
	Scopes     []string // nil: Slack did not say them
}

// May reports whether the bot has a scope; true also if its scopes are unknown.
func (b Bot) May(scope string) bool { return b.Scopes == nil || slices.Contains(b.Scopes, scope) }

// Bot returns whom the token belongs to, by auth.test. The scopes are in a header of the
// answer.
func (r *Reader) Bot(ctx context.Context) (Bot, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	answer, err := r.api().AuthTestContext(ctx)
	if err != nil {
		return Bot{}, r.failed("auth.test", "", err)
	}
	bot := Bot{Team: answer.Team, TeamID: answer.TeamID, Enterprise: answer.EnterpriseID, User: answer.User}
	for scope := range strings.SplitSeq(answer.Header.Get("X-OAuth-Scopes"), ",") {
		if scope = strings.TrimSpace(scope); scope != "" {
			bot.Scopes = append(bot.Scopes, scope)
		}
	}
	return bot, nil
}

// Channel is a channel as the bot sees it.
type Channel struct {
	Name     string
	Found    bool // it exists, and is public or the bot is a member
	Member   bool // the bot is
	Private  bool
	Archived bool
}

// Lists of channels are read by so many at once, and so many times.
const (
	channelPage  = 999
	channelPages = 30
)

// Channels returns what the bot sees of channels, which are named as in rule files: by
// name, with or without '#', or by id. whole is false if there are more channels than
// are read: one that was not found may exist.
func (r *Reader) Channels(ctx context.Context, bot Bot, names []string) (found map[string]Channel, whole bool, err error) {
	found = map[string]Channel{}
	wanted := map[string]string{} // by name without '#': as it was given
	for _, given := range names {
		name := strings.TrimPrefix(strings.TrimSpace(given), "#")
		if !isID(name) {
			wanted[name] = given
			continue
		}
		c, err := r.byID(ctx, name)
		if err != nil {
			return nil, false, err
		}
		found[given] = c
	}
	whole = true
	for _, list := range []channelList{r.ofBot, r.ofWorkspace} {
		if len(wanted) == 0 {
			break
		}
		all, err := r.search(ctx, list, bot, wanted, found)
		if err != nil {
			return nil, false, err
		}
		whole = all
	}
	return found, whole, nil
}

// byID returns the channel of an id.
func (r *Reader) byID(ctx context.Context, id string) (Channel, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	c, err := r.api().GetConversationInfoContext(ctx, &slackapi.GetConversationInfoInput{ChannelID: id})
	if err != nil {
		e := r.failed("conversations.info", id, err)
		if e.Code == "channel_not_found" {
			return Channel{}, nil
		}
		return Channel{}, e
	}
	return channelOf(*c, c.IsMember), nil
}

// channelList requests a page of channels.
type channelList func(ctx context.Context, types []string, cursor string) (page []slackapi.Channel, member bool, next string, err error)

// ofBot lists the channels that the bot is a member of.
func (r *Reader) ofBot(ctx context.Context, types []string, cursor string) ([]slackapi.Channel, bool, string, error) {
	page, next, err := r.api().GetConversationsForUserContext(ctx, &slackapi.GetConversationsForUserParameters{Cursor: cursor, Limit: channelPage, Types: types})
	if err != nil {
		return nil, false, "", r.failed("users.conversations", "", err)
	}
	return page, true, next, nil
}

// ofWorkspace lists the channels of the workspace.
func (r *Reader) ofWorkspace(ctx context.Context, types []string, cursor string) ([]slackapi.Channel, bool, string, error) {
	page, next, err := r.api().GetConversationsContext(ctx, &slackapi.GetConversationsParameters{Cursor: cursor, Limit: channelPage, Types: types})
	if err != nil {
		return nil, false, "", r.failed("conversations.list", "", err)
	}
	return page, false, next, nil
}

// search moves the wanted channels that a list has to found, and reports whether it
// read the whole list.
func (r *Reader) search(ctx context.Context, list channelList, bot Bot, wanted map[string]string, found map[string]Channel) (whole bool, err error) {
	var types []string
	if bot.May("channels:read") || !bot.May("groups:read") { // without either, Slack says what is missing
		types = append(types, "public_channel")
	}
	if bot.May("groups:read") {
		types = append(types, "private_channel")
	}
	cursor := ""
	for range channelPages {
		call, cancel := context.WithTimeout(ctx, callFor)
		page, member, next, err := list(call, types, cursor)
		cancel()
		if err != nil {
			return false, err
		}
		for _, c := range page {
			if given, is := wanted[c.Name]; is {
				found[given] = channelOf(c, member || c.IsMember)
				delete(wanted, c.Name)
			}
		}
		if cursor = next; cursor == "" || len(wanted) == 0 {
			return true, nil
		}
	}
	return false, nil
}

func channelOf(c slackapi.Channel, member bool) Channel {
	return Channel{Name: c.Name, Found: true, Member: member, Private: c.IsPrivate, Archived: c.IsArchived}
}
