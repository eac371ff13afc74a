// Package receiver has the definitions of receivers besides Slack, as rule files give
// them: plain data, and what is wrong with it. Nothing is read, and nothing is sent.
package receiver

import (
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"unicode"
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

// AtEnd reports whether a receiver of a kind is sent one message at the end of a pipeline in
// place of one for each outcome: its messages can't be edited. A webhook's are for a program,
// which is sent each outcome.
func AtEnd(kind string) bool { return kind != Webhook }

// How a connection to a mail server is protected.
const (
	StartTLS    = "starttls" // required, not only if offered; the default
	ImplicitTLS = "tls"
	NoTLS       = "none"
)

// TLSModes lists them.
var TLSModes = []string{StartTLS, ImplicitTLS, NoTLS}

// Definition says where and how messages are sent. A setting that can be a secret has
// a second one that names a file with the value on one line; the file is read for each
// message, so that a new secret needs no restart.
type Definition struct {
	Name string `setting:"name"`
	Kind string `setting:"kind"`
	// Language is that of the texts that Pipesteward writes to it, of event.Languages; "":
	// that of the notice.
	Language string `setting:"language"`

	// URL is the address of the bot's or the program's webhook; all kinds but email.
	// That of a bot contains its token.
	URL     string `setting:"url"`
	URLFile string `setting:"url_file"`

	// Secret is the one of the bot's security setting: signature verification (Feishu),
	// additional signature (DingTalk). Without one the bot must be secured otherwise,
	// by IP addresses.
	Secret     string `setting:"secret"`
	SecretFile string `setting:"secret_file"`

	// SigningToken is the key of the webhook's signature, as Standard Webhooks writes
	// it: whsec_ and 24 to 64 bytes in Base64.
	SigningToken     string `setting:"signing_token"`
	SigningTokenFile string `setting:"signing_token_file"`

	// The mail server, and what it sends from whom to whom. Port is 587 by default, with
	// tls: tls 465, with tls: none 25.
	Host         string   `setting:"host"`
	Port         int      `setting:"port"`
	TLS          string   `setting:"tls"` // starttls (default), tls, none
	Username     string   `setting:"username"`
	Password     string   `setting:"password"`
	PasswordFile string   `setting:"password_file"`
	From         string   `setting:"from"` // an address, as in Pipesteward <ci@example.com>
	To           []string `setting:"to"`   // addresses
}

// String returns the name and the kind, and no secret.
func (d Definition) String() string { return d.Name + " (" + d.Kind + ")" }

// GoString is String, so that no format prints a secret.
func (d Definition) GoString() string { return d.String() }

// MarshalText is String, so that neither a log nor JSON has a secret.
func (d Definition) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Names of the settings whose values are secret, as rule files write them. That of the
// file with the value ends in [FileSuffix].
const (
	SettingURL          = "url"
	SettingSecret       = "secret"
	SettingSigningToken = "signing_token"
	SettingPassword     = "password"
)

// FileSuffix ends the name of a setting that names a file.
const FileSuffix = "_file"

// setting is one setting of a definition.
type setting struct {
	name string
	set  func(Definition) bool
}

// settings lists all settings but name and kind.
var settings = []setting{
	{SettingURL, func(d Definition) bool { return d.URL != "" }},
	{SettingURL + FileSuffix, func(d Definition) bool { return d.URLFile != "" }},
	{SettingSecret, func(d Definition) bool { return d.Secret != "" }},
	{SettingSecret + FileSuffix, func(d Definition) bool { return d.SecretFile != "" }},
	{SettingSigningToken, func(d Definition) bool { return d.SigningToken != "" }},
	{SettingSigningToken + FileSuffix, func(d Definition) bool { return d.SigningTokenFile != "" }},
	{"host", func(d Definition) bool { return d.Host != "" }},
	{"port", func(d Definition) bool { return d.Port != 0 }},
	{"tls", func(d Definition) bool { return d.TLS != "" }},
	{"username", func(d Definition) bool { return d.Username != "" }},
	{SettingPassword, func(d Definition) bool { return d.Password != "" }},
	{SettingPassword + FileSuffix, func(d Definition) bool { return d.PasswordFile != "" }},
	{"from", func(d Definition) bool { return d.From != "" }},
	{"to", func(d Definition) bool { return len(d.To) > 0 }},
}

// SecretSetting is a setting whose value may be in a file.
type SecretSetting struct {
	Name string
	// Of returns the value, or the path of the file that has it on one line.
	Of func(Definition) (value, file string)
}

// SecretSettings lists the settings whose values may be in files.
var SecretSettings = []SecretSetting{
	{SettingURL, func(d Definition) (string, string) { return d.URL, d.URLFile }},
	{SettingSecret, func(d Definition) (string, string) { return d.Secret, d.SecretFile }},
	{SettingSigningToken, func(d Definition) (string, string) { return d.SigningToken, d.SigningTokenFile }},
	{SettingPassword, func(d Definition) (string, string) { return d.Password, d.PasswordFile }},
}

// meanings says what the value of a setting is.
var meanings = map[string]string{
	SettingURL:          "the address of the webhook",
	SettingSigningToken: "the key of the signature",
}

// Kinds lists the kinds of receivers.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Settings lists the settings of a kind besides name and kind, nil for an unknown kind.
func Settings(kind string) []string { return slices.Clone(kinds[kind].settings) }

// Mistake is what is wrong with a definition, and what to write instead. It never has a
// value of a secret setting.
type Mistake struct {
	Setting string // name or a setting of the kind; "": it is about the kind as a whole
	Item    int    // of a list, from 1; 0: it is about the whole setting
	Message string
}

// Mistakes returns all that is wrong with the definition. It reads no file.
func (d Definition) Mistakes() []Mistake {
	var all []Mistake
	wrong := func(setting, format string, arguments ...any) {
		all = append(all, Mistake{Setting: setting, Message: fmt.Sprintf(format, arguments...)})
	}
	if d.Name == "" || !isLine(d.Name) {
		wrong("name", "a receiver needs a name, on one line: write for example name: ops")
	}
	k, known := kinds[d.Kind]
	if !known {
		wrong("", "there is no kind %q: write one of %s", d.Kind, strings.Join(Kinds(), ", "))
		return all
	}
	for _, s := range settings {
		if s.set(d) && !slices.Contains(k.settings, s.name) {
			wrong(s.name, "%s has no setting %s: leave it out; it has %s", d.Kind, s.name, strings.Join(k.settings, ", "))
		}
	}
	for _, s := range SecretSettings {
		value, file := s.Of(d)
		switch {
		case value != "" && file != "":
			wrong(s.Name, "%s and %s_file are both set: leave one out", s.Name, s.Name)
		case value != "":
			if err := CheckValue(d.Kind, s.Name, value); err != nil {
				wrong(s.Name, "%s: %v", s.Name, err)
			}
		case file == "" && slices.Contains(k.required, s.Name):
			wrong("", "%s needs %s_file, the path of a file with %s (or %s itself)", d.Kind, s.Name, meanings[s.Name], s.Name)
		}
	}
	if k.check != nil {
		all = append(all, k.check(d)...)
	}
	return all
}

// Check returns all Mistakes as one error, nil for none.
func (d Definition) Check() error {
	var errs []error
	for _, m := range d.Mistakes() {
		errs = append(errs, fmt.Errorf("receiver %q: %s", d.Name, m.Message))
	}
	return errors.Join(errs...)
}

// isLine reports whether a text is one line without white space around it, and can't
// steer what shows it.
func isLine(text string) bool {
	return text == strings.TrimSpace(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// checkEmail returns what is wrong with the settings of a mail server.
func checkEmail(d Definition) []Mistake {
	var all []Mistake
	wrong := func(setting, format string, arguments ...any) {
		all = append(all, Mistake{Setting: setting, Message: fmt.Sprintf(format, arguments...)})
	}
	if d.Host == "" || strings.ContainsAny(d.Host, "/ @") {
		wrong("host", "host is the name of the mail server alone: write for example host: smtp.example.com")
	}
	if d.Port < 0 || d.Port > 65535 {
		wrong("port", "port %d is none: write for example port: 587", d.Port)
	}
	if d.TLS != "" && !slices.Contains(TLSModes, d.TLS) {
		wrong("tls", "tls is %q: write starttls (port 587, the default), tls (port 465) or none", d.TLS)
	}
	withPassword := d.Password != "" || d.PasswordFile != ""
	if withPassword != (d.Username != "") {
		wrong("username", "username and password_file belong together: set both, or none if the server needs no authentication")
	}
	if withPassword && d.TLS == NoTLS {
		wrong("tls", "tls: none would send the password unprotected: write starttls or tls")
	}
	if _, err := mail.ParseAddress(d.From); err != nil || !isLine(d.From) {
		wrong("from", "from is no mail address: write for example from: Pipesteward <ci@example.com>")
	}
	if len(d.To) == 0 {
		wrong("to", "email needs recipients: write for example to: [team@example.com]")
	}
	for i, to := range d.To {
		if _, err := mail.ParseAddress(to); err != nil || !isLine(to) {
			all = append(all, Mistake{"to", i + 1, fmt.Sprintf("to has %q, which is no mail address: write for example team@example.com", to)})
		}
	}
	return all
}
