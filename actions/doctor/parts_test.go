package doctor_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// receiverOf is the key `receivers` of a rule file with one.
func receiverOf(kind string) string { return "receivers: [{name: ops, " + kind + "}]\n" }

// The parts beside GitLab, each spoiled in one way.
func TestParts(t *testing.T) {
	t.Parallel()
	described := func(d store.Description) func(*rig) { return func(r *rig) { r.Store = &storeStub{Description: d} } }
	server := func(s doctor.ServerStatus) func(*rig) {
		return func(r *rig) {
			s.Address, s.RuleFiles = "http://127.0.0.1:9090", r.Server.(serverStub).RuleFiles
			r.Server = serverStub{s}
		}
	}
	channel := func(c slacktest.Channel) func(*rig) { return func(r *rig) { r.slack.AddChannel(c) } }
	for _, tt := range []struct {
		name     string
		spoil    func(*rig)
		check    string
		severity doctor.Severity
		says     []string
	}{
		{"rules that do not load", func(r *rig) { r.Rules, r.RulesErr = nil, errors.New("rules.yaml:1:1: one\nrules.yaml:2:2: two") }, "rules-load", doctor.Problem, []string{"rules.yaml:1:1: one …", "pipesteward check"}},
		{"mistakes below a headline", func(r *rig) {
			r.Rules, r.RulesErr = nil, errors.New("the rules can't be used:\nrules.yaml:1:1: one\nrules.yaml:2:2: two")
		}, "rules-load", doctor.Problem, []string{"the rules can't be used: rules.yaml:1:1: one …"}},
		{"no rule file", func(r *rig) {
			r.Rules, r.RulesErr, r.RulesUnread = nil, errors.New("open rules.yaml: no such file"), true
		}, "rules-load", doctor.Problem, []string{"no such file", "as --rules"}},
		{"rules that do not load, projects", func(r *rig) { r.Rules, r.RulesErr = nil, errors.New("x") }, "project-role", doctor.Unknown, []string{"not checked, because the rules can't be used"}},
		{"warnings", func(r *rig) { r.Warnings = 2 }, "rules-load", doctor.Warning, []string{"1 rule, and 2 warnings about them"}},
		{"no rules", func(r *rig) { r.rules(noRule) }, "rules-load", doctor.Warning, []string{"there is no rule"}},
		{"dry run", func(r *rig) { r.DryRun = true }, "rules-load", doctor.Note, []string{"1 rule, 1 of them in dry run"}},

		{"credentials of webhooks that can't be used", func(r *rig) { r.WebhookErr = errors.New("--webhook-signing-token: signing token 1 is\nmalformed") }, "webhook-secret", doctor.Problem, []string{"--webhook-signing-token: signing token 1 is malformed; `serve` does not start"}},
		{"a short one", func(r *rig) { r.WebhookTokens = []string{webhookSecret, "secret"} }, "webhook-secret", doctor.Warning, []string{"webhook token 2 can be guessed"}},
		{"one of few characters", func(r *rig) { r.WebhookTokens = []string{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} }, "webhook-secret", doctor.Warning, nil},
		{"insecure", func(r *rig) { r.WebhookTokens, r.Insecure = nil, true }, "webhook-secret", doctor.Warning, []string{"from anybody"}},
		{"signed", func(r *rig) { r.SigningTokens = []string{"whsec_x"} }, "webhook-secret", doctor.OK, []string{"1 secret token and 1 signing token"}},

		{"no file yet", func(r *rig) { r.Store = nil }, "store-open", doctor.Note, []string{"there is no file yet"}},
		{"a locked file", func(r *rig) { r.Store, r.StoreErr = nil, fmt.Errorf("store: p.db is %w", store.ErrInUse) }, "store-open", doctor.Note, []string{"open in another process"}},
		{"a locked file, projects", func(r *rig) { r.Store, r.StoreErr = nil, fmt.Errorf("store: p.db is %w", store.ErrInUse) }, "projects-exist", doctor.Note, []string{"which projects sent events is not known, because another process has the store's file open: all in which", "--project"}},
		{"a locked file, named projects", func(r *rig) {
			r.Store, r.StoreErr, r.Projects = nil, fmt.Errorf("store: p.db is %w", store.ErrInUse), []string{"platform"}
		}, "projects-exist", doctor.Note, []string{"those that --projects and schedule rules name were checked, and no others"}},
		{"a store that fails, projects", func(r *rig) { r.Store, r.StoreErr = nil, errors.New("x") }, "projects-exist", doctor.Note, []string{"because the store can't be opened"}},
		{"a store that fails", func(r *rig) {
			r.Store, r.StoreErr = nil, errors.New("store: Redis x has version 5.0: 6.2 or newer is needed")
		}, "store-open", doctor.Problem, []string{"6.2 or newer is needed"}},
		{"a store that fails, latency", func(r *rig) { r.Store, r.StoreErr = nil, errors.New("x") }, "store-latency", doctor.Unknown, []string{"the store can't be opened"}},
		{"no append-only file", described(store.Description{Warnings: []string{"Redis x has no append-only file; set appendonly yes"}}), "store-durable", doctor.Warning, []string{"appendonly yes"}},
		{"full memory", described(store.Description{Used: 90 << 20, Limit: 100 << 20}), "store-space", doctor.Warning, []string{"90 MiB of its 100 MiB", "raise maxmemory"}},
		{"some memory", described(store.Description{Used: 10 << 20, Limit: 100 << 20}), "store-space", doctor.OK, []string{"10 MiB of 100 MiB"}},
		{"a full disk", described(store.Description{Used: 10 << 20, Free: 100 << 20}), "store-space", doctor.Warning, []string{"the disk has 100 MiB left", "free space"}},
		{"a slow store", func(r *rig) { r.Store = &storeStub{slow: func() { r.now = r.now.Add(time.Second) }} }, "store-latency", doctor.Warning, []string{"a durable write takes 1s"}},
		{"a store that can't be written", func(r *rig) { r.Store = &storeStub{err: errors.New("READONLY")} }, "store-latency", doctor.Problem, []string{"can't be written: READONLY"}},

		{"no Slack, which rules need", func(r *rig) { r.Slack = nil }, "slack-token", doctor.Warning, []string{"nobody is notified"}},
		{"no Slack", func(r *rig) { r.Slack = nil; r.rules(noRule) }, "slack-token", doctor.OK, nil},
		{"a wrong token", func(r *rig) { r.slack.SetToken("xoxb-another") }, "slack-token", doctor.Problem, []string{"Slack refuses the token: invalid_auth", "OAuth & Permissions"}},
		{"a wrong token, channels", func(r *rig) { r.slack.SetToken("xoxb-another") }, "slack-channels", doctor.Unknown, []string{"not checked, because Slack says invalid_auth"}},
		{"Slack is down", func(r *rig) { r.slack.Fail(slacktest.Fault{Times: 9, Status: 503}) }, "slack-token", doctor.Problem, []string{"Slack can't be reached: Slack or a proxy before it answers 503", "--slack-api-url"}},
		{"Slack is not to be connected", func(r *rig) { _ = r.slack.Close() }, "slack-token", doctor.Problem, []string{"Slack can't be reached: nothing listens there (connection refused)", "check --slack-api-url, and whether Slack is up"}},
		{"Slack is not to be connected, channels", func(r *rig) { _ = r.slack.Close() }, "slack-channels", doctor.Unknown, []string{"not checked, because Slack can't be reached"}},
		{"Slack is another server", func(r *rig) { r.slack.Fail(slacktest.Fault{Times: 9, Status: 404}) }, "slack-token", doctor.Problem, []string{"what answers 404 is not Slack's API", "--slack-api-url"}},
		{"Slack is a web page", func(r *rig) { r.slack.Fail(slacktest.Fault{Times: 9, Body: "<html>"}) }, "slack-token", doctor.Problem, []string{"the answer is not one of Slack's API", "--slack-api-url"}},
		{"Slack's limit", func(r *rig) { r.slack.Fail(slacktest.Fault{Times: 9, Error: "ratelimited"}) }, "slack-token", doctor.Problem, []string{"Slack can't be used now: ratelimited", "too many calls"}},
		{"no such channel", func(r *rig) { r.rules(ruleFile + "  - {name: b, on: job, notify: [{channel: '#nowhere'}]}\n") }, "slack-channels", doctor.Problem, []string{`#nowhere (rule "b"): there is no such channel`, "/invite @pipesteward in #nowhere"}},
		{"not invited", channel(slacktest.Channel{Name: "ci", NotMember: true}), "slack-channels", doctor.Problem, []string{`#ci (rule "retry-stuck"): the bot is no member`, "/invite"}},
		{"a private channel", channel(slacktest.Channel{Name: "ci", Private: true}), "slack-channels", doctor.OK, nil},
		{"a private channel of others", channel(slacktest.Channel{Name: "ci", Private: true, NotMember: true}), "slack-channels", doctor.Problem, []string{"or it is private and the bot is no member"}},
		{"a receiver", func(r *rig) {
			r.rules(ruleFile + receiverOf("feishu: {url: 'https://open.feishu.cn/open-apis/bot/v2/hook/x'}"))
		}, "receiver-settings", doctor.OK, []string{"ops (feishu): its settings", "nothing was sent"}},
		{"a receiver without its files", func(r *rig) {
			r.rules(ruleFile + receiverOf("feishu: {url_file: /none/url, secret_file: /none/secret}"))
		}, "receiver-settings", doctor.Problem, []string{`receiver "ops": url_file: open /none/url: no such file or directory; receiver "ops": secret_file: open /none/secret`, "correct the setting in `receivers`"}},
		{"an archived channel", channel(slacktest.Channel{Name: "ci", Archived: true}), "slack-channels", doctor.Problem, []string{"is archived", "unarchive it"}},

		{"no buttons", func(*rig) {}, "slack-app", doctor.OK, []string{"are off"}},
		{"buttons", buttons(doctor.SlackApp{Signed: true, Token: "xapp-1", Operators: []string{"@ci-ops", "S0000000001"}}), "slack-app", doctor.OK, []string{"@ci-ops, S0000000001 may do everything"}},
		{"buttons without operators", buttons(doctor.SlackApp{Signed: true}), "slack-app", doctor.Note, []string{"nobody may pause all", "--slack-operators"}},
		{"no such operators", buttons(doctor.SlackApp{Signed: true, Operators: []string{"@nobody"}}), "slack-app", doctor.Problem, []string{"names @nobody, and Slack has no such user group"}},
		{"no such operators, by id", buttons(doctor.SlackApp{Signed: true, Operators: []string{"S9"}}), "slack-app", doctor.Problem, []string{"the members of S9 can't be read: no_such_subteam"}},
		{"a wrong app token", buttons(doctor.SlackApp{Token: "xapp-wrong"}), "slack-app", doctor.Problem, []string{"opens no connection for it: invalid_auth", "connections:write"}},
		{"no right to open connections", func(r *rig) {
			r.slack.Fail(slacktest.Fault{Method: "apps.connections.open", Error: "missing_scope", Needed: "connections:write"})
			r.SlackApp.Token = "xapp-1"
		}, "slack-app", doctor.Problem, []string{"missing_scope", "connections:write"}},
		{"Slack fails to open connections", func(r *rig) {
			r.slack.Fail(slacktest.Fault{Method: "apps.connections.open", Status: 503})
			r.SlackApp.Token = "xapp-1"
		}, "slack-app", doctor.Unknown, []string{"can't be reached"}},
		{"wrong settings of buttons", buttons(doctor.SlackApp{Err: errors.New("--slack-signing-secret: x")}), "slack-app", doctor.Problem, []string{"--slack-signing-secret: x"}},
		{"no scopes for buttons", func(r *rig) {
			r.slack.SetScopes("chat:write", "channels:history", "groups:history", "channels:read", "groups:read")
			r.SlackApp = doctor.SlackApp{Signed: true, Operators: []string{"@ci-ops"}}
		}, "slack-scopes", doctor.Warning, []string{"users:read (nobody may use buttons", "users:read.email (only operators", "usergroups:read (nobody is an operator"}},
		{"no scopes for operators", func(r *rig) {
			r.slack.SetScopes("chat:write")
			r.SlackApp = doctor.SlackApp{Signed: true, Operators: []string{"@ci-ops"}}
		}, "slack-app", doctor.Problem, []string{"can't be read: missing_scope", "usergroups:read is missing"}},

		{"no server", server(doctor.ServerStatus{}), "server-version", doctor.Note, []string{"version , and this program is v1"}},
		{"not ready", server(doctor.ServerStatus{Version: "v1", NotReady: "store unreachable"}), "server-ready", doctor.Problem, []string{"is not ready: store unreachable"}},
		{"another version", server(doctor.ServerStatus{Version: "v0"}), "server-version", doctor.Note, []string{"version v0, and this program is v1"}},
		{"rules that the server can't use", server(doctor.ServerStatus{Version: "v1", RulesErr: "rules.yaml:1:1: x"}), "server-rules", doctor.Problem, []string{"works by older rules: rules.yaml:1:1: x"}},
		{"other rules", func(r *rig) { r.Server = serverStub{doctor.ServerStatus{Address: "x", RuleFiles: []string{"abc"}}} }, "server-rules", doctor.Warning, []string{"the server's rules are others"}},
		{"paused", server(doctor.ServerStatus{Version: "v1", Paused: []event.Pause{{By: "ann", Since: noon}}}), "server-work", doctor.Note, []string{"paused (all) by ann, since 2026-11-22T12:00:00Z", "`pipesteward resume` ends it"}},
		{"paused projects", server(doctor.ServerStatus{Version: "v1", Paused: []event.Pause{{Project: "mobile/*"}}}), "server-work", doctor.Note, []string{"`pipesteward resume --project 'mobile/*'` ends it"}},
		{"a paused rule", server(doctor.ServerStatus{Version: "v1", Paused: []event.Pause{{Rule: "ann's"}}}), "server-work", doctor.Note, []string{`resume --rule 'ann'\''s'` + "` ends it"}},
		{"a dry server", server(doctor.ServerStatus{Version: "v1", DryRun: true}), "server-work", doctor.Note, []string{"--dry-run"}},
		{"dead records", server(doctor.ServerStatus{Version: "v1", Dead: 3}), "server-work", doctor.Warning, []string{"3 records could not be worked on", "`pipesteward queue list --dead`"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			tt.spoil(r)
			r.wants(r.run(), tt.check, tt.severity, tt.says)
		})
	}
}

// Where no server runs, that is said once.
func TestNoServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.Server = serverStub{}
	found := r.run()
	r.wants(found, "server-ready", doctor.Note, []string{"no server answers"})
	r.ServerWanted = true
	r.wants(r.run(), "server-ready", doctor.Problem, []string{"no server answers"})
	if slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Subject == doctor.SubjectServer && f.Check != "server-ready" }) {
		t.Errorf("%s", encode(t, found))
	}
}

func TestSlackScopes(t *testing.T) {
	t.Parallel()
	everyChannel := []string{"chat:write", "channels:history", "channels:read", "groups:history", "groups:read"}
	for _, tt := range []struct {
		scopes   []string
		rules    string // more of them
		check    string
		severity doctor.Severity
		says     []string
	}{
		{[]string{"channels:read", "groups:read"}, "", "slack-scopes", doctor.Problem, []string{"chat:write (nobody is notified)"}},
		{[]string{"chat:write", "channels:read", "groups:read"}, "", "slack-scopes", doctor.Warning, []string{"channels:history", "groups:history"}},
		{[]string{"chat:write"}, "", "slack-channels", doctor.Unknown, []string{"not checked, because Slack says missing_scope", "channels:read is missing"}},
		{[]string{"chat:write", "channels:read"}, "", "slack-channels", doctor.OK, nil},
		{[]string{"chat:write", "chat:write.public", "channels:read"}, "", "slack-channels", doctor.OK, nil},
		{everyChannel, "", "slack-scopes", doctor.OK, nil},
		{everyChannel, "  - {name: m, on: job, notify: [{channel: '#ci', mention: [author, '@oncall']}]}\n", "slack-scopes", doctor.Warning, []string{
			`users:read.email (rule "m" finds nobody by e-mail; it goes with users:read)`, `usergroups:read (rule "m" mentions no user group)`,
		}},
		{everyChannel, "  - {name: d, on: job, notify: [{channel: author}]}\n", "slack-scopes", doctor.Warning, []string{
			`im:history (after a crash a direct message of rule "d" may appear twice)`, `im:write (rule "d" sends no direct message)`, "users:read.email",
		}},
	} {
		r := newRig(t, gitlabtest.Options{})
		r.rules(ruleFile + tt.rules)
		chat, err := slacktest.New(slacktest.Options{Scopes: tt.scopes})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = chat.Close() })
		chat.AddChannel(slacktest.Channel{Name: "ci", NotMember: slices.Contains(tt.scopes, "chat:write.public")})
		if r.Slack, err = slack.NewReader(slack.Config{Token: slackToken, APIURL: chat.URL(), Now: time.Now}); err != nil {
			t.Fatal(err)
		}
		r.wants(r.run(), tt.check, tt.severity, tt.says)
	}
}

// Channels may be named by id, and a large workspace has many.
func TestManyChannels(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	for i := range 2500 {
		r.slack.AddChannel(slacktest.Channel{Name: fmt.Sprintf("team-%d", i), NotMember: true})
	}
	id := r.slack.Channel("ci")
	r.rules(ruleFile + "  - {name: b, on: job, notify: [{channel: " + id + "}, {channel: '#team-2400'}, {channel: C0123456789}]}\n")
	found := r.run()
	r.wants(found, "slack-channels", doctor.Problem, []string{`#team-2400 (rule "b"): the bot is no member`})
	r.wants(found, "slack-channels", doctor.Problem, []string{`C0123456789 (rule "b"): there is no such channel`})
	for _, f := range found {
		if f.Check == "slack-channels" && f.Severity != doctor.Problem {
			t.Errorf("%s", encode(t, f))
		}
	}
}

// buttons makes Slack send buttons and commands.
func buttons(app doctor.SlackApp) func(*rig) {
	return func(r *rig) {
		r.slack.AddGroup("ci-ops")
		r.slack.SetAppToken("xapp-1")
		r.SlackApp = app
	}
}
