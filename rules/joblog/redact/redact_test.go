package redact_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// fake returns a text that resembles a secret. It is built at run time so that
// secret scanners do not report this file.
func fake(n int) string { return strings.Repeat("Zq7Xw2Lk9P", n/10+1)[:n] }

// shaped returns secrets that are recognized by their format, one of each
// kind.
func shaped() map[string]string {
	kinds := map[string]string{
		"old registration token": "GR1348941" + fake(20),
		"routable GitLab token":  "glpat-" + fake(27) + ".01." + strings.ToLower(fake(9)),
		"GitLab token with -_":   "glpat-" + "a-_" + fake(17),
		"own GitLab prefix":      "SIE-" + "glpat-" + fake(20),
		"job token of 17.x":      "glcbt-" + "64_" + fake(20),
		"runner's token":         "glrt-" + "t1_" + fake(20),
		"Slack app token":        "xapp-" + "1-A0123456789-" + fake(20),
		"AWS access key id":      "AKIA" + strings.ToUpper(fake(16)),
		"AWS session key id":     "ASIA" + strings.ToUpper(fake(16)),
		"JWT":                    "eyJ" + fake(20) + ".eyJ" + fake(40) + "." + fake(43),
		"JWT cut off":            "eyJ" + fake(20) + ".eyJ" + fake(40),
		"webhook signing token":  "whsec_" + fake(43) + "=",
		"GitHub token":           "ghp_" + fake(36),
		"GitHub fine-grained":    "github_pat_" + fake(22) + "_" + fake(59),
		"npm token":              "npm_" + fake(36),
	}
	for _, p := range []string{"pat", "oas", "dt", "rt", "rtr", "cbt", "ptt", "ft", "imt", "agent", "wt", "soat", "ffct"} {
		kinds["GitLab "+p] = "gl" + p + "-" + fake(20)
	}
	for _, p := range "abeprs" {
		kinds["Slack xox"+string(p)] = "xox" + string(p) + "-" + "123456789012-" + fake(24)
	}
	return kinds
}

// surroundings are texts in which a secret may occur.
var surroundings = []string{
	"%", "a % b", "a %\nb", "x=%", "(%)", "'%'", "\"%\"", "<%>", "[%]", "{\"a\":\"%\"}", "a: %", "a,%,b", "%.", "%;", "`%`",
	"curl -H 'X-Some: %' https://example.com", "https://example.com/?a=%&b=c", "https://example.com/%/x", "\\n%\\n", "\t%\t", "$ login % --now",
}

func TestMaskShapes(t *testing.T) {
	for kind, secret := range shaped() {
		for _, s := range surroundings {
			text := strings.ReplaceAll(s, "%", secret)
			got := redact.Secrets(text)
			if bare := strings.TrimPrefix(secret, "SIE-"); strings.Contains(got, bare[len(bare)-8:]) || strings.Contains(got, bare[:12]) || !strings.Contains(got, "[masked]") {
				t.Errorf("%s in %q: %q", kind, s, got)
			}
		}
	}
}

func TestMask(t *testing.T) {
	s, base64 := fake(12), fake(64)
	begin, end := "-----BEGIN RSA PRIVATE"+" KEY-----", "-----END RSA PRIVATE"+" KEY-----"
	for _, c := range []struct{ name, in, want string }{
		// names
		{"environment", "export DB_PASSWORD=" + s + " x", "export DB_PASSWORD=[masked] x"},
		{"punctuation in a password", "PASSWORD=a,b;c&d\"e x", "PASSWORD=[masked] x"},
		{"short password", "PGPASSWORD=1 psql", "PGPASSWORD=[masked] psql"},
		{"quotes", `secret = "a b\"c" # x`, `secret = "[masked]" # x`},
		{"single quotes", `passwd: 'a b' x`, `passwd: '[masked]' x`},
		{"JSON", `{"user":"u","password":"` + s + `","n":1}`, `{"user":"u","password":"[masked]","n":1}`},
		{"JSON with blanks", `"api_key" : "` + s + `"`, `"api_key" : "[masked]"`},
		{"JSON in JSON", `"{\"token\":\"` + s + `\",\"n\":1}"`, `"{\"token\":\"[masked]\",\"n\":1}"`},
		{"JSON number", `{"secret":123456,"n":1}`, `{"secret":[masked],"n":1}`},
		{"JSON list", `{"tokens":["` + s + `","b"],"n":1}`, `{"tokens":[[masked]],"n":1}`},
		{"YAML", "  client_secret: " + s + "\n  b: c", "  client_secret: [masked]\n  b: c"},
		{"YAML list", "- apiKey: " + s, "- apiKey: [masked]"},
		{"camel case", "accessToken: " + s, "accessToken: [masked]"},
		{"properties", "spring.datasource.password=" + s, "spring.datasource.password=[masked]"},
		{"Go", `token := "` + s + `"`, `token := "[masked]"`},
		{"Ruby", `:password=>"` + s + `"`, `:password=>"[masked]"`},
		{"compared", `if token == "` + s + `"`, `if token == "[masked]"`},
		{"query", "GET /x?private_token=" + s + "&page=2", "GET /x?private_token=[masked]&page=2"},
		{"AWS", "aws_secret_access_key = " + base64[:40], "aws_secret_access_key = [masked]"},
		{"AWS, JSON", `"SecretAccessKey": "` + base64[:40] + `"`, `"SecretAccessKey": "[masked]"`},
		{"Azure", "AccountKey=" + base64 + "==;x", "AccountKey=[masked]"},
		{"npmrc", "//registry.npmjs.org/:_authToken=" + s, "//registry.npmjs.org/:_authToken=[masked]"},
		{"docker's config", `"auth": "` + s + `"`, `"auth": "[masked]"`},
		{"cookie", "Cookie: _gitlab_session=" + s, "Cookie: _gitlab_session=[masked]"},
		{"last of a sentence", "Your new password: hunter2", "Your new password: [masked]"},
		{"in a sentence", "Your password: hunter2 (change it)", "Your password: [masked] (change it)"},

		// flags
		{"flag", "login --password " + s + " host", "login --password [masked] host"},
		{"flag with =", "login --password=" + s + " host", "login --password=[masked] host"},
		{"flag of Java", "x -storePassword '" + s + "' y", "x -storePassword '[masked]' y"},
		{"flags of a list", `["--token", "` + s + `", "-v"]`, `["--token", "[masked]", "-v"]`},
		{"flag in quotes", `"--token ` + s + `" x`, `"--token [masked]" x`},

		// headers
		{"private token", `curl --header "PRIVATE-TOKEN: ` + s + `" https://x`, `curl --header "PRIVATE-TOKEN: [masked]" https://x`},
		{"job token", "> JOB-TOKEN: " + s, "> JOB-TOKEN: [masked]"},
		{"bearer", "Authorization: Bearer " + s, "Authorization: Bearer [masked]"},
		{"bearer, lower case and short", "authorization: bearer abc", "authorization: bearer [masked]"},
		{"basic", `-H 'Authorization: Basic ` + s + `==' x`, `-H 'Authorization: Basic [masked]' x`},
		{"no scheme", "Authorization: " + s, "Authorization: [masked]"},
		{"digest", `Authorization: Digest username="a", response="b"`, `Authorization: Digest [masked]`},
		{"JSON header", `{"Authorization":"Bearer ` + s + `","n":1}`, `{"Authorization":"Bearer [masked]","n":1}`},
		{"header of Node", "authorization: [ 'Bearer " + s + "' ]", "authorization: [[masked]]"},
		{"bearer alone", "sent Bearer " + s + " to x", "sent Bearer [masked] to x"},

		// URLs
		{"URL", "https://user:" + s + "@host/p?q", "https://[masked]@host/p?q"},
		{"URL with a token for a user", "https://" + s + "@host/p", "https://[masked]@host/p"},
		{"URL with @ and / in the password", "https://u:p@s/s@host/p", "https://[masked]@s/s@host/p"},
		{"URL with / in the password", "https://u:p/s@host/p", "https://[masked]@host/p"},
		{"database", `"postgres://u:p@db:5432/x"`, `"postgres://[masked]@db:5432/x"`},
		{"password only", "redis://:" + s + "@cache:6379", "redis://[masked]@cache:6379"},
		{"Slack webhook", "POST https://hooks.slack.com/services/T0/B0/" + s + ": 404", "POST https://hooks.slack.com/[masked] 404"},

		// private keys
		{"private key", "a\n" + begin + "\n" + base64 + "\n" + base64[:20] + "==\n" + end + "\nb", "a\n[masked]\nb"},
		{"encrypted private key", begin + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\n" + base64 + "\n" + end, "[masked]"},
		{"OpenSSH key, indented", "  k: |\n    " + strings.ReplaceAll(begin, "RSA", "OPENSSH") + "\n    " + base64 + "\n    " + strings.ReplaceAll(end, "RSA", "OPENSSH"), "  k: |\n    [masked]"},
		{"PGP", "-----BEGIN PGP PRIVATE" + " KEY BLOCK-----\n\n" + base64 + "\n=abcd\n-----END PGP PRIVATE" + " KEY BLOCK-----\nb", "[masked]\nb"},
		{"key with escaped newlines", `"k":"` + begin + `\n` + base64 + `\n` + end + `\n","b":1`, `"k":"[masked]\n","b":1`},
		{"key cut off", "a\n" + begin + "\n" + base64 + "\n" + base64[:5], "a\n[masked]"},
		{"key cut off, and more", begin + "\n" + base64 + "\n" + base64 + "\nERROR: Job failed: exit code 1\n", "[masked]\nERROR: Job failed: exit code 1\n"},
		{"key cut off, escaped", `"k":"` + begin + `\n` + base64 + `\n` + base64[:5] + `", "b": 1`, `"k":"[masked]", "b": 1`},
		{"key cut off, with prefixes", "app | " + begin + "\napp | " + base64 + "\napp | done it", "app | [masked]\napp | done it"},
		{"the end of a key", base64 + "\n" + base64[:20] + "\n" + end + "\nb", "[masked]\nb"},
		{"two keys", begin + "\n" + base64 + "\n" + end + "\nx y\n" + begin + "\n" + base64 + "\n" + end, "[masked]\nx y\n[masked]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, redact.Secrets(c.in)); diff != "" {
				t.Errorf("Mask(%q): -want +got\n%s", c.in, diff)
			}
		})
	}
}

// TestMaskLeaves checks that the reason why a job failed remains readable.
func TestMaskLeaves(t *testing.T) {
	for _, text := range []string{
		"", "\n", "PASS: TestToken", "Checking out 8f3a2c1d as detached HEAD (ref is main)...",
		"src/auth/token.go:12:5: undefined: parse", "spec/password_spec.rb:45:in `new'", "at Token.refresh (/app/token.js:10:3)",
		"token::parse failed", "cat: /etc/passwd: Permission denied", "failed to get a token: 401 Unauthorized",
		"Unexpected token: punc expected", "SyntaxError: Unexpected token } in JSON at position 5",
		"https://gitlab-ci-token:[MASKED]@gitlab.example.com/group/project.git/", "ssh://git@gitlab.example.com/x.git",
		"https://registry.npmjs.org/@babel/core", "https://host:8443/@scope/x", "git@gitlab.example.com:group/project.git",
		"PASSWORD=[MASKED]", "token: [masked].", "docker login -u x --password-stdin registry.example.com", "password: ''",
		"secretName: tls", "token_type: x", "DB_PASSWORD_FILE=/run/secrets/db", "tokenizer: fast", "key: cache-main", "PWD=/builds/x",
		"-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----", "Basic authentication is off", "bearer of bad news",
		"login --password --user x", "2024-05-22T12:43:46Z INFO a=b c:d", "the PRIVATE KEY is missing", "password=null",
	} {
		if got := redact.Secrets(text); got != text {
			t.Errorf("Mask(%q) = %q", text, got)
		}
	}
}

// fragments draws the parts of secrets and their surroundings.
func fragments() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"password", "token", "Authorization", "Bearer ", "Basic ", "PRIVATE-TOKEN", "--password", "-", "_", "glpat-", "glrt-", "xoxb-", "AKIA", "GR1348941",
		"eyJ", "hooks.slack.com/", "https://", "@", ":", "=", " ", "\n", "\"", "'", "\\\"", "\\n", "[", "]", "{", ",", ".", "/", "?", "&", "[masked]", "[MASKED]",
		"-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----", fake(20), fake(64), "ZQ7XW2LK9PZQ7XW2", "word", "1", "ü", "null", "git", "*", "`", "|",
		"$", "${", "}", "$VAR", "STRIPE_KEY", "docker login -p ", "sshpass -p", "mysql -p", "redis-cli -a ", "curl -u ", "machine x login y password ", "echo ",
		"--password-stdin", "<", ">", "</", "password>", "name", "value", "Cookie: ", ";", "kind: Secret", "data:", "\n  ", "- ", "sig=", "discord.com/api/webhooks/",
		"twitter", "sk_live_", "SK", "facebook", "Q~", "_mmk", ".atlasv1.", "s.", "AKIA",
	})
}

// TestMaskTwice checks that masking is idempotent.
func TestMaskTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(fragments(), 4, 40).Draw(t, "text"), "")
		once := redact.Secrets(text)
		if twice := redact.Secrets(once); twice != once {
			t.Fatalf("masked once: %q, twice: %q", once, twice)
		}
	})
}

// TestMaskHidesAmongAnything checks that a secret is recognized by its format
// in any surroundings that do not change the word.
func TestMaskHidesAmongAnything(t *testing.T) {
	secrets := shaped()
	kinds := make([]string, 0, len(secrets))
	for kind := range secrets {
		kinds = append(kinds, kind)
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := strings.TrimPrefix(secrets[rapid.SampledFrom(kinds).Draw(t, "kind")], "SIE-")
		before := strings.Join(rapid.SliceOfN(fragments(), 0, 10).Draw(t, "before"), "")
		after := strings.Join(rapid.SliceOfN(fragments(), 0, 10).Draw(t, "after"), "")
		if got := redact.Secrets(before + " " + secret + " " + after); strings.Contains(got, secret) {
			t.Fatalf("in %q", got)
		}
	})
}

// TestMaskHidesWhatTakesTooLong checks that a text that takes too long to
// inspect is hidden.
func TestMaskHidesWhatTakesTooLong(t *testing.T) {
	secret := fake(12)
	for _, s := range []string{
		"docker login curl ", "default machine ", "docker login curl\n", "name: x value: name: y ", "{\"kind\": \"Secret\"} {", "pypi-pypi-AgEIcHlwaS5vcmc$",
	} {
		text := strings.Repeat(s, 1<<17/len(s)) + " sshpass -p " + secret + " ssh host"
		if got := redact.Secrets(text); strings.Contains(got, secret) {
			t.Errorf("after %q: …%q", s, got[len(got)-200:])
		}
	}
}

func FuzzMask(f *testing.F) {
	for _, s := range surroundings {
		f.Add(strings.ReplaceAll(s, "%", "glpat-"+fake(20)))
	}
	for _, text := range leaks() {
		f.Add(withoutMarks.Replace(text))
	}
	f.Add("password=\"a\\\"b\" token: x Authorization: Bearer y https://u:p@h/")
	f.Add("-----BEGIN RSA PRIVATE" + " KEY-----\nabc")
	f.Fuzz(func(t *testing.T, s string) {
		once := redact.Secrets(s)
		if utf8.ValidString(s) && !utf8.ValidString(once) {
			t.Errorf("Mask(%q) is not UTF-8: %q", s, once)
		}
		if twice := redact.Secrets(once); twice != once {
			t.Errorf("masked once: %q, twice: %q", once, twice)
		}
	})
}

func TestMaskValues(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     string
		values []string
		want   string
	}{
		{"none", "abcdefgh", nil, "abcdefgh"},
		{"everywhere", "abcdefgh xabcdefghx", []string{"abcdefgh"}, "[masked] x[masked]x"},
		{"short ones are left", "abcdefg", []string{"abcdefg", ""}, "abcdefg"},
		{"characters are counted, not bytes", "üüüüüüü", []string{"üüüüüüü"}, "üüüüüüü"},
		{"the longest first", "abcdefghij abcdefgh", []string{"abcdefgh", "abcdefghij"}, "[masked] [masked]"},
		{"those that overlap", "abcdefghijkl", []string{"abcdefgh", "efghijkl"}, "[masked]"},
		{"twice the same", "abcdefgh", []string{"abcdefgh", "abcdefgh"}, "[masked]"},
		{"what stands for a secret", "[masked]", []string{"[masked]"}, "[masked]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := redact.Values(c.in, c.values); got != c.want {
				t.Errorf("MaskValues(%q, %q) = %q, want %q", c.in, c.values, got, c.want)
			}
		})
	}
}

func BenchmarkMask(b *testing.B) {
	for _, c := range []struct{ name, format string }{
		{"no secrets", "12:00:%02d step %d of the build; no errors, 3 warnings =====\n"},
		{"many that look alike", "key: a=%02d gl-%d http://host/x src/token.go:1:2: AAAA eyJ no-such-flag --x=y Basic\n"},
		{"a secret in each line", "12:00:%02d step %d: password=hunter2 https://u:p@host/ Authorization: Bearer abcdefgh1\n"},
		{"no blanks", "token:=%02d%d://:@"},
		{"one quote after the other", "token=\"%02d%d\\"},
		{"beginnings of keys", "-----BEGIN PRIVATE" + " KEY-----%02d%d"},
		{"names of providers", "linear twitter: %02d discord travis okta task value: %d name: facebook docker login curl -s default\n"},
		{"beginnings of tokens", "glpat-pypi-hvb.sk-proj-sk_live_%02d%d-glc_ops_eyJxapp-1-"},
		{"names and values", "twitter=twitter:discord=asana:new_relic=%02d%d"},
		{"commands", "docker login curl mysql machine default sshpass -p zip %02d%d "},
		{"pairs", "value:name=value=%02d%dkey:"},
		{"secrets of Kubernetes", "{\"kind\":\"Secret\",%02d%d"},
		{"secrets of Kubernetes, YAML", "kind: Secret\n a: %02d%d\n"},
		{"elements", "<token><password x=%02d%d"},
		{"block scalars", "password: |\n token: >\n\n\n%02d%d"},
		{"cookies", "Cookie: a=%02d%d;"},
		{"values without an end", "sshpass -p[ name=token value=[ set token ' %02d%d"},
		{"quotes without an end", "sshpass -p\\\" curl -u a:b' set TOKEN 1a\"%02d%d "},
		{"one long line of JSON", "{\"id\":%02d,\"access_token\":\"%d\",\"password\":null},"},
		{"one long line of names", "token: token: > -----END PRIVATE KEY-----%02d%d "},
		{"dots", "glpat-twitter=%02d%d............"},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkMask(b, aLog(c.format)) })
	}
	b.Run("the logs of testdata", func(b *testing.B) {
		logs, err := filepath.Glob("../testdata/*.log")
		if err != nil {
			b.Fatal(err)
		}
		var all strings.Builder
		for all.Len() < 1<<20 {
			for _, log := range logs {
				text, err := os.ReadFile(log)
				if err != nil {
					b.Fatal(err)
				}
				all.WriteString(joblog.Clean(string(text)))
			}
		}
		benchmarkMask(b, all.String()[:1<<20])
	})
}

func benchmarkMask(b *testing.B, text string) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		redact.Secrets(text)
	}
}

// aLog returns a log of 1 MiB, whose lines follow the format.
func aLog(format string) string {
	var b strings.Builder
	for i := 0; b.Len() < 1<<20; i++ {
		fmt.Fprintf(&b, format, i%60, i)
	}
	return b.String()[:1<<20]
}
