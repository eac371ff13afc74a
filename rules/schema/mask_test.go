package schema_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/schema"
)

// TestMasked: secrets become stars, of which there are as many as characters; the rest stays.
func TestMasked(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{
			`- play: {variables: {API_TOKEN: "super, }secret"}, dely: 1s, inputs: {password: 'it''s', n: "glpat-abc`,
			`- play: {variables: {API_TOKEN: ****************}, dely: 1s, inputs: {password: *******, n: "*********`,
		},
		{
			`variables: {API_TOKEN: two words, DEPLOY_KEY: foobar, CACHE_KEY: foobar, N: 1}`,
			`variables: {API_TOKEN: *********, DEPLOY_KEY: ******, CACHE_KEY: foobar, N: 1}`,
		},
		{`  MY_SECRET: schön und gut`, `  MY_SECRET: *************`},
		{`  MY_SECRET:hush`, `  MY_SECRET:****`},
		{"  - API_TOKEN: >\n      hush hush\n    next: 3", "  - API_TOKEN: >\n      **** ****\n    next: 3"},
		{`- {name: API_TOKEN, value: hush}`, `- {name: API_TOKEN, value: *****`},
		{`signing_token_file: /run/secrets/x`, `signing_token_file: /run/secrets/x`},
		{`text: "{{ job.name }} failed, see https://wiki.example.com/ci"`, `text: "{{ job.name }} failed, see https://wiki.example.com/ci"`},
	} {
		got := schema.Masked(c.text)
		if got != c.want {
			t.Errorf("%s\n is shown as\n%s\n instead of\n%s", c.text, got, c.want)
		}
		if utf8.RuneCountInString(got) != utf8.RuneCountInString(c.text) {
			t.Errorf("%s: columns moved", c.text)
		}
	}
}

// TestMessagesAreMasked: no message about a mistake quotes a secret.
func TestMessagesAreMasked(t *testing.T) {
	for _, text := range []string{
		"variables:\n  API_TOKEN: @hush-hush\n",
		"variables:\n  API_TOKEN:hush-hush\n  N: 1\n",
		"variables:\n  API_TOKEN: 'hush-hush' hush-hush\n",
		"variables: [API_TOKEN: hush-hush #hush-hush\n",
		"variables:\n  N: glpat-hush-hush: hush\n",
	} {
		d := schema.NewDocument("rules.yaml", []byte(text))
		if d.Parse() != nil {
			t.Errorf("%q has no mistake", text)
		}
		for _, p := range d.Problems {
			if strings.Contains(p.Message, "hush-hush") {
				t.Errorf("%q: %s", text, p.Message)
			}
		}
	}
}
