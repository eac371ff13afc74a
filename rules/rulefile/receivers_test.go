package rulefile_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

func loadTexts(t *testing.T, texts ...string) *rules.Rules {
	t.Helper()
	var sources []rulefile.Source
	for i, text := range texts {
		sources = append(sources, rulefile.Source{Name: string(rune('a'+i)) + ".yaml", Data: []byte("version: 1\n" + text)})
	}
	rs, err := rulefile.Load(rulefile.Options{}, sources...)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// Receivers of one file are there for the rules of all, and every setting is read.
func TestReceivers(t *testing.T) {
	rs := loadTexts(t, `
defaults: {receiver: ops}
rules:
  - {name: a, on: job, actions: [retry], notify: [{when: [failed]}, {receiver: mail, when: [done]}, {channel: "#ci", mention: [author]}, {receiver: audit, text: "{{ job.name }}"}, {receiver: ops, when: [done], mention: ["@all"]}]}
`, `
receivers:
  - {name: ops, feishu: {url_file: /run/secrets/feishu, secret_file: /run/secrets/feishu-secret}}
  - name: mail
    email: {host: smtp.example.com, port: 465, tls: tls, username: ci, password_file: secrets/mail, from: ci@example.com, to: [a@example.com, b@example.com]}
  - {name: audit, webhook: {url: "http://audit/x", signing_token: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=}}
rules: []
`)
	want := []receiver.Definition{
		{Name: "ops", Kind: "feishu", URLFile: "/run/secrets/feishu", SecretFile: "/run/secrets/feishu-secret"},
		{Name: "mail", Kind: "email", Host: "smtp.example.com", Port: 465, TLS: "tls", Username: "ci", PasswordFile: "secrets/mail", From: "ci@example.com", To: []string{"a@example.com", "b@example.com"}},
		{Name: "audit", Kind: "webhook", URL: "http://audit/x", SigningToken: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="},
	}
	if d := cmp.Diff(want, rs.Receivers()); d != "" {
		t.Errorf("receivers (-want +got):\n%s", d)
	}
	var to []string
	for _, n := range rs.Rule("a").Notify {
		to = append(to, event.Address{Receiver: n.Receiver, Channel: n.Channel.Source}.String()+" "+strings.Join(n.Mention, " "))
	}
	if want := []string{"ops ", "mail ", "#ci in Slack author", "audit ", "ops @all"}; !slices.Equal(to, want) {
		t.Errorf("addresses %q, want %q", to, want)
	}
}

// What the example has as comments is right.
func TestExampleOfReceivers(t *testing.T) {
	example, err := os.ReadFile("../../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(example), "# receivers:\n")
	text, _, _ = strings.Cut(text, "\n\n")
	if rs := loadTexts(t, "receivers:\n"+strings.ReplaceAll(text, "#  ", "  ")+"\nrules: []\n"); len(rs.Receivers()) != 2 {
		t.Errorf("the example has %v", rs.Receivers())
	}
}

func TestStormGoesToAReceiver(t *testing.T) {
	const ops = "receivers: [{name: ops, feishu: {url_file: /x}}]\nrules: []\n"
	for name, c := range map[string]struct {
		text string
		want event.Address
	}{
		"the default":             {"defaults: {receiver: ops}\n" + ops, event.Address{Receiver: "ops"}},
		"the default in storm":    {"defaults: {receiver: ops}\nstorm: {failures: 3}\n" + ops, event.Address{Receiver: "ops"}},
		"of its own":              {"defaults: {channel: ci}\nstorm: {receiver: ops}\n" + ops, event.Address{Receiver: "ops"}},
		"a channel, of its own":   {"defaults: {receiver: ops}\nstorm: {channel: ci}\n" + ops, event.Address{Receiver: event.ReceiverSlack, Channel: "ci"}},
		"a channel, the default":  {"defaults: {channel: ci}\n" + ops, event.Address{Receiver: event.ReceiverSlack, Channel: "ci"}},
		"none, though one exists": {ops, event.Address{Receiver: event.ReceiverSlack}},
	} {
		if got := loadTexts(t, c.text).Storm().To; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Another address of a receiver makes no rule a new one, for which catch-up would begin
// anew.
func TestReceiversChangeNoIdentity(t *testing.T) {
	const rule = "rules: [{name: a, on: job, actions: [retry], notify: [{receiver: ops}]}]\n"
	before := loadTexts(t, "receivers: [{name: ops, feishu: {url_file: /x}}]\n"+rule)
	after := loadTexts(t, "receivers: [{name: ops, wecom: {url_file: /y}}]\n"+rule)
	if !slices.Equal(before.Identities(), after.Identities()) || before.Fingerprint() != after.Fingerprint() {
		t.Error("the rule is another one")
	}
}
