package slack_test

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// mentioning is a notice in #ci with mentions.
func mentioning(whom ...string) event.Notice {
	n := to("#ci", "a text")
	n.Mention = whom
	return n
}

// by is an outcome with the e-mail addresses of the commit's author and of the user who
// triggered the pipeline.
func by(job, author, triggerer string) event.Outcome {
	o := outcome(job, event.ResultDone)
	o.Commit.AuthorEmail, o.User.Email = author, triggerer
	return o
}

func TestMentions(t *testing.T) {
	w := newFixture(t)
	sidney, alex, oncall := w.AddUser("sidney@example.com"), w.AddUser("alex@example.com"), w.AddGroup("oncall")
	author, triggerer, group := "<@"+sidney+">", "<@"+alex+">", "<!subteam^"+oncall+">"
	for name, c := range map[string]struct {
		o    event.Outcome
		whom []string
		want string // at the end of what is posted
	}{
		"author":                {by("1", "Sidney@Example.com", ""), []string{"author"}, author},
		"all":                   {by("2", "sidney@example.com", "alex@example.com"), []string{"author", "triggerer", "@oncall", "U024BE7LH"}, strings.Join([]string{author, triggerer, group, "<@U024BE7LH>"}, " ")},
		"the same person twice": {by("3", "sidney@example.com", "sidney@example.com"), []string{"author", "triggerer"}, author},
		"redacted":              {by("4", "", "[REDACTED]"), []string{"author", "triggerer"}, ""},
		"unknown":               {by("5", "nobody@example.com", ""), []string{"author", "@nobody"}, ""},
		"one is unknown":        {by("6", "nobody@example.com", "alex@example.com"), []string{"author", "triggerer"}, triggerer},
	} {
		before := len(w.Posts())
		if err := w.notifier.Notify(t.Context(), c.o, mentioning(c.whom...)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		posted := w.Posts()[before]
		for _, text := range []string{posted.Text, string(posted.Blocks)} {
			text = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(text)
			if strings.Contains(text, "<@") != strings.Contains(c.want, "<@") || !strings.Contains(text, c.want) {
				t.Errorf("%s: posted %s, want the mentions %q", name, text, c.want)
			}
		}
	}
	for _, m := range w.Updates() {
		if strings.Contains(m.Text+string(m.Blocks), "@U") {
			t.Errorf("an edit mentions somebody: %s %s", m.Text, m.Blocks)
		}
	}
}

// People are looked up once in hours, those who are missing once in minutes; an address
// that GitLab redacted never is.
func TestPeopleAreRemembered(t *testing.T) {
	w := newFixture(t)
	w.AddUser("sidney@example.com")
	i := 0
	say := func(whom ...string) {
		i++
		if err := w.notifier.Notify(t.Context(), by(strings.Repeat("x", i), "sidney@example.com", "nobody@example.com"), mentioning(whom...)); err != nil {
			t.Fatal(err)
		}
	}
	calls := func() [2]int { return [2]int{w.Calls("users.lookupByEmail"), w.Calls("usergroups.list")} }
	for _, step := range []struct {
		passes time.Duration
		want   [2]int
	}{{0, [2]int{2, 1}}, {time.Minute, [2]int{2, 1}}, {15 * time.Minute, [2]int{3, 2}}, {6 * time.Hour, [2]int{5, 3}}} {
		w.clock.Advance(step.passes)
		say("author", "triggerer", "@oncall")
		say("author", "triggerer", "@oncall")
		if got := calls(); got != step.want {
			t.Errorf("%s later: %v lookups of people and groups, want %v", step.passes, got, step.want)
		}
	}
	if w.AddGroup("oncall"); true {
		w.clock.Advance(15 * time.Minute)
		say("@oncall")
		if last := w.Posts()[len(w.Posts())-1]; !strings.Contains(last.Text, "<!subteam^") {
			t.Errorf("a group that was created since is not mentioned: %s", last.Text)
		}
	}
}

// A lookup that fails in whatever way costs the mention, and never the message; the log
// says why, once.
func TestFailedLookupsCostNoMessage(t *testing.T) {
	for name, f := range map[string]slacktest.Fault{
		"scope":   {Error: "missing_scope", Needed: "users:read.email"},
		"limited": {Status: http.StatusTooManyRequests, RetryAfter: time.Hour},
		"cut":     {Cut: true},
		"broken":  {Status: http.StatusInternalServerError},
	} {
		w := newFixture(t)
		w.AddUser("sidney@example.com")
		f.Method, f.Times = "users.lookupByEmail", 10
		w.Fail(f)
		for _, job := range []string{"a", "b", "c"} {
			if err := w.notifier.Notify(t.Context(), by(job, "sidney@example.com", ""), mentioning("author")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(w.Posts()); n != 3 {
			t.Errorf("%s: %d messages, want 3", name, n)
		}
		if n := strings.Count(w.log.String(), "people can't be looked up"); n != 1 {
			t.Errorf("%s: the log says it %d times:\n%s", name, n, w.log.String())
		}
	}
}

// A direct message goes to the commit's author, else to the user who triggered the
// pipeline: one message of a pipeline, as in a channel.
func TestDirectMessages(t *testing.T) {
	w := newFixture(t)
	sidney, alex := w.AddUser("sidney@example.com"), w.AddUser("alex@example.com")
	author := to("author", "")
	for _, o := range []event.Outcome{by("unit", "sidney@example.com", "alex@example.com"), by("lint", "sidney@example.com", ""), by("deploy", "[REDACTED]", "alex@example.com")} {
		if err := w.notifier.Notify(t.Context(), o, author); err != nil {
			t.Fatal(err)
		}
	}
	if got := [2]int{len(w.Direct(sidney)), len(w.Direct(alex))}; got != [2]int{2, 1} {
		t.Errorf("%v messages to the author and to the other, want 2 (the second in the thread) and 1", got)
	}
	if n := w.Calls("conversations.open"); n != 2 {
		t.Errorf("%d conversations were opened, want 2", n)
	}
	if n := len(w.Messages("author")); n != 0 {
		t.Errorf("%d messages in a channel called author", n)
	}
	for want, o := range map[string]event.Outcome{
		"that GitLab sends: name a channel":                by("x", "nobody@example.com", ""),
		"that GitLab sends (it sent none): name a channel": by("y", "", "[REDACTED]"),
	} {
		err := w.notifier.Notify(t.Context(), o, author)
		e, is := errors.AsType[*slack.Error](err)
		if !is || e.Mendable() || again(t, err) != 0 || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "nobody@") {
			t.Errorf("error %v, want a final one with %q", err, want)
		}
	}
}

// Nobody but full members of the workspace gets direct messages: the address is one that whoever
// made the commit chose. They can be mentioned in a channel, which they are in or not.
func TestDirectMessagesToMembersOnly(t *testing.T) {
	for name, p := range map[string]slacktest.Person{
		"a guest": {Guest: true}, "of one channel": {OneChannel: true}, "of another organization": {Stranger: true}, "a bot": {Bot: true}, "deactivated": {Deleted: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			p.Email = "sidney@example.com"
			sidney, alex := w.AddPerson(p), w.AddUser("alex@example.com")
			err := w.notifier.Notify(t.Context(), by("unit", p.Email, ""), to("author", ""))
			if e, is := errors.AsType[*slack.Error](err); !is || e.Code != "users_not_found" {
				t.Errorf("error %v, want that nobody is found", err)
			}
			if err := w.notifier.Notify(t.Context(), by("lint", p.Email, "alex@example.com"), to("author", "")); err != nil {
				t.Error(err)
			}
			if got := [2]int{len(w.Direct(sidney)), len(w.Direct(alex))}; got != [2]int{0, 1} {
				t.Errorf("%v messages to %s and to the member who triggered the pipeline, want 0 and 1", got, name)
			}
		})
	}
}

// Scopes that direct messages lack are mended by a person.
func TestDirectMessagesWithoutScopes(t *testing.T) {
	all := []string{"chat:write", "users:read.email", "im:write"}
	for _, lacking := range all[1:] {
		w := newFixtureOn(t, slacktest.Options{Scopes: slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == lacking })})
		w.AddUser("sidney@example.com")
		err := w.notifier.Notify(t.Context(), by("unit", "sidney@example.com", ""), to("author", ""))
		e, is := errors.AsType[*slack.Error](err)
		if !is || !e.Mendable() || e.Everywhere() || !strings.Contains(err.Error(), lacking+" is missing: add it to the app") {
			t.Errorf("without %s: %v", lacking, err)
		}
		w.SetScopes(all...)
		w.persist(t, by("unit", "sidney@example.com", ""), "author")
	}
}

// The manifest has the scopes that the simulated bot has.
func TestManifest(t *testing.T) {
	manifest := manifestScopes(t)
	reader, err := slack.NewReader(slack.Config{Token: token, APIURL: newFixture(t).URL(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	bot, err := reader.Bot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(manifest)
	slices.Sort(bot.Scopes)
	if diff := cmp.Diff(bot.Scopes, manifest); diff != "" {
		t.Errorf("the scopes of deploy/slack-app.yaml (-simulated +manifest):\n%s", diff)
	}
}

// manifestScopes returns the scopes of deploy/slack-app.yaml.
func manifestScopes(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/slack-app.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		OAuth struct {
			Scopes struct{ Bot []string }
		} `yaml:"oauth_config"`
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest.OAuth.Scopes.Bot
}
