package receivers

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/mail"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
)

// Kinds of receivers.
const (
	Feishu     = "feishu"
	Lark       = "lark" // Feishu outside of China
	DingTalk   = "dingtalk"
	WeCom      = "wecom"
	Teams      = "teams"
	Mattermost = "mattermost"
	Discord    = "discord"
	Email      = "email"
	Webhook    = "webhook"
)

// How a connection to a mail server is protected.
const (
	StartTLS    = "starttls" // required, not only if offered; the default
	ImplicitTLS = "tls"
	NoTLS       = "none"
)

// Definition says where and how messages are sent. A setting that can be a secret has
// a second one that names a file with the value on one line; the file is read for each
// message, so that a new secret needs no restart.
type Definition struct {
	Name string `json:"name"`
	Kind string `json:"kind"`

	// URL is the address of the bot's or the program's webhook; all kinds but email.
	// That of a bot contains its token.
	URL     string `json:"url,omitzero"`
	URLFile string `json:"url_file,omitzero"`

	// Secret is the one of the bot's security setting: signature verification (Feishu),
	// additional signature (DingTalk). Without one the bot must be secured otherwise,
	// by IP addresses.
	Secret     string `json:"secret,omitzero"`
	SecretFile string `json:"secret_file,omitzero"`

	// SigningToken is the key of the webhook's signature, as Standard Webhooks writes
	// it: whsec_ and 24 to 64 bytes in Base64.
	SigningToken     string `json:"signing_token,omitzero"`
	SigningTokenFile string `json:"signing_token_file,omitzero"`

	// The mail server, and what it sends from whom to whom. Port is 587 by default, with
	// tls: tls 465, with tls: none 25.
	Host         string   `json:"host,omitzero"`
	Port         int      `json:"port,omitzero"`
	TLS          string   `json:"tls,omitzero"` // starttls (default), tls, none
	Username     string   `json:"username,omitzero"`
	Password     string   `json:"password,omitzero"`
	PasswordFile string   `json:"password_file,omitzero"`
	From         string   `json:"from,omitzero"` // an address, as in Pipesteward <ci@example.com>
	To           []string `json:"to,omitempty"`  // addresses
}

// String returns the name and the kind, and no secret.
func (d Definition) String() string { return d.Name + " (" + d.Kind + ")" }

// GoString is String, so that no format prints a secret.
func (d Definition) GoString() string { return d.String() }

// LogValue is what logs have of it.
func (d Definition) LogValue() slog.Value { return slog.StringValue(d.String()) }

// Names of settings, as rule files write them.
const (
	settingURL          = "url"
	settingSecret       = "secret"
	settingSigningToken = "signing_token"
	settingPassword     = "password"
)

// setting is one setting of a definition.
type setting struct {
	name string
	set  func(Definition) bool
}

// settings lists all settings but name and kind.
var settings = []setting{
	{settingURL, func(d Definition) bool { return d.URL != "" }},
	{settingURL + "_file", func(d Definition) bool { return d.URLFile != "" }},
	{settingSecret, func(d Definition) bool { return d.Secret != "" }},
	{settingSecret + "_file", func(d Definition) bool { return d.SecretFile != "" }},
	{settingSigningToken, func(d Definition) bool { return d.SigningToken != "" }},
	{settingSigningToken + "_file", func(d Definition) bool { return d.SigningTokenFile != "" }},
	{"host", func(d Definition) bool { return d.Host != "" }},
	{"port", func(d Definition) bool { return d.Port != 0 }},
	{"tls", func(d Definition) bool { return d.TLS != "" }},
	{"username", func(d Definition) bool { return d.Username != "" }},
	{settingPassword, func(d Definition) bool { return d.Password != "" }},
	{settingPassword + "_file", func(d Definition) bool { return d.PasswordFile != "" }},
	{"from", func(d Definition) bool { return d.From != "" }},
	{"to", func(d Definition) bool { return len(d.To) > 0 }},
}

// secretSetting is a setting whose value may be in a file.
type secretSetting struct {
	name  string
	value func(Definition) (value, file string)
}

var (
	urlSetting          = secretSetting{settingURL, func(d Definition) (string, string) { return d.URL, d.URLFile }}
	secretOfBot         = secretSetting{settingSecret, func(d Definition) (string, string) { return d.Secret, d.SecretFile }}
	signingTokenSetting = secretSetting{settingSigningToken, func(d Definition) (string, string) { return d.SigningToken, d.SigningTokenFile }}
	passwordSetting     = secretSetting{settingPassword, func(d Definition) (string, string) { return d.Password, d.PasswordFile }}
)

// secretSettings lists the settings whose values may be in files.
var secretSettings = []secretSetting{urlSetting, secretOfBot, signingTokenSetting, passwordSetting}

// meanings says what the value of a setting is.
var meanings = map[string]string{
	settingURL:          "the address of the webhook",
	settingSigningToken: "the key of the signature",
}

// Kinds lists the kinds of receivers.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Settings lists the settings of a kind besides name and kind, nil for an unknown kind.
func Settings(kind string) []string { return slices.Clone(kinds[kind].settings) }

// Check returns what is wrong with the definition and what to write instead, all of it,
// nil for nothing. It reads no file.
func (d Definition) Check() error {
	var errs []error
	wrong := func(format string, arguments ...any) {
		errs = append(errs, fmt.Errorf("receiver %q: "+format, append([]any{d.Name}, arguments...)...))
	}
	if strings.TrimSpace(d.Name) == "" || d.Name != message.OneLine(d.Name) {
		errs = append(errs, errors.New("a receiver needs a name, on one line: write for example name: ops"))
	}
	k, known := kinds[d.Kind]
	if !known {
		wrong("there is no kind %q: write one of %s", d.Kind, strings.Join(Kinds(), ", "))
		return errors.Join(errs...)
	}
	for _, s := range settings {
		if s.set(d) && !slices.Contains(k.settings, s.name) {
			wrong("%s has no setting %s: leave it out; it has %s", d.Kind, s.name, strings.Join(k.settings, ", "))
		}
	}
	for _, s := range secretSettings {
		value, file := s.value(d)
		switch {
		case value != "" && file != "":
			wrong("%s and %s_file are both set: leave one out", s.name, s.name)
		case value != "":
			if err := k.checkValue(s.name, value); err != nil {
				wrong("%s: %w", s.name, err)
			}
		case file == "" && slices.Contains(k.required, s.name):
			wrong("%s needs %s_file, the path of a file with %s (or %s itself)", d.Kind, s.name, meanings[s.name], s.name)
		}
	}
	if k.check != nil {
		k.check(d, wrong)
	}
	return errors.Join(errs...)
}

// checkEmail checks the settings of a mail server.
func checkEmail(d Definition, wrong func(format string, arguments ...any)) {
	if d.Host == "" || strings.ContainsAny(d.Host, "/ @") {
		wrong("host is the name of the mail server alone: write for example host: smtp.example.com")
	}
	if d.Port < 0 || d.Port > 65535 {
		wrong("port %d is none: write for example port: 587", d.Port)
	}
	if !slices.Contains([]string{"", StartTLS, ImplicitTLS, NoTLS}, d.TLS) {
		wrong("tls is %q: write starttls (port 587, the default), tls (port 465) or none", d.TLS)
	}
	withPassword := d.Password != "" || d.PasswordFile != ""
	if withPassword != (d.Username != "") {
		wrong("username and password_file belong together: set both, or none if the server needs no authentication")
	}
	if withPassword && d.TLS == NoTLS {
		wrong("tls: none would send the password unprotected: write starttls or tls")
	}
	if _, err := mail.ParseAddress(d.From); err != nil || d.From != message.OneLine(d.From) {
		wrong("from is no mail address: write for example from: Pipesteward <ci@example.com>")
	}
	if len(d.To) == 0 {
		wrong("email needs recipients: write for example to: [team@example.com]")
	}
	for _, to := range d.To {
		if _, err := mail.ParseAddress(to); err != nil || to != message.OneLine(to) {
			wrong("to has %q, which is no mail address: write for example team@example.com", to)
		}
	}
}
