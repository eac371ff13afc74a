package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// secretVolume is a directory of secret files, as Kubernetes mounts one: each is
// a symlink through a directory that is swapped as a whole.
type secretVolume struct {
	*testing.T
	dir   string
	round int
}

func (v *secretVolume) path(name string) string { return filepath.Join(v.dir, name) }

// publish replaces all files at once.
func (v *secretVolume) publish(files map[string]string) {
	v.Helper()
	v.round++
	version := filepath.Join(v.dir, "..v"+string(rune('0'+v.round)))
	must := func(err error) {
		v.Helper()
		if err != nil {
			v.Fatal(err)
		}
	}
	must(os.MkdirAll(version, 0o700))
	for name, text := range files {
		must(os.WriteFile(filepath.Join(version, name), []byte(text), 0o600))
		if _, err := os.Lstat(v.path(name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), v.path(name)))
		}
	}
	must(os.Symlink(filepath.Base(version), filepath.Join(v.dir, "..new")))
	must(os.Rename(filepath.Join(v.dir, "..new"), filepath.Join(v.dir, "..data")))
}

// postWith posts a hook body with a secret token.
func (p *program) postWith(token string, body []byte) int {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.webhooks, bytes.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("X-Gitlab-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Secrets that come from files are replaced while the program runs; what can't be
// used leaves the old ones in force. No value is ever logged.
func TestSecretsRotate(t *testing.T) {
	const (
		newToken, newSlack = "glpat-the-next-one", "xoxb-the-next-one"
		nextSecret         = "the-next-secret-of-the-webhooks"
		signing            = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	)
	env := newEnvironment(t)
	v := &secretVolume{T: t, dir: t.TempDir()}
	files := map[string]string{"gitlab": gitlabtest.DefaultToken + "\n", "webhook": testSecret, "signing": "", "slack": testSlack, "slack-signing": testSlackSecret}
	v.publish(files)
	for name, variable := range map[string]string{"gitlab": "GITLAB_TOKEN", "webhook": "WEBHOOK_TOKEN", "signing": "WEBHOOK_SIGNING_TOKEN", "slack": "SLACK_TOKEN", "slack-signing": "SLACK_SIGNING_SECRET"} {
		t.Setenv("PIPESTEWARD_"+variable+"_FILE", v.path(name))
	}
	p := env.runFromEnv()
	nothing := []byte(`{"object_kind":"push"}`)
	if code := p.postWith(testSecret, nothing); code != http.StatusOK {
		t.Errorf("at first the webhook token is answered with %d", code)
	}

	// What can't be used is refused as a whole, and said once.
	for _, bad := range []struct{ file, text, says string }{
		{"gitlab", "two\nlines\n", "the file must hold one line"},
		{"webhook", " \n", "the file is empty"},
		{"signing", "hush-hush", "malformed"},
		{"slack", "xapp-1", "app-level token"},
		{"slack-signing", "xoxb-1", "signing secret 1 is a token"},
	} {
		files := maps.Clone(files)
		files[bad.file] = bad.text
		v.publish(files)
		p.eventually("the bad "+bad.file+" file is logged", func() bool { return strings.Contains(p.logged(), bad.says) })
	}
	v.publish(files)
	p.eventually("the files can be used again", func() bool {
		return strings.Count(p.logged(), "can be used again") == 5
	})
	if code := p.postWith(testSecret, nothing); code != http.StatusOK {
		t.Errorf("after bad files the webhook token is answered with %d", code)
	}
	if n := strings.Count(p.logged(), "the secret in force stays"); n != 5 {
		t.Errorf("%d errors are logged, want one for each bad file:\n%s", n, p.tail())
	}

	// Both webhook tokens are good while hooks are changed, then the new one only.
	files["webhook"] = nextSecret + "\n" + testSecret
	v.publish(files)
	p.eventually("the new webhook token is accepted", func() bool { return p.postWith(nextSecret, nothing) == http.StatusOK })
	if code := p.postWith(testSecret, nothing); code != http.StatusOK {
		t.Errorf("while both are given, the old webhook token is answered with %d", code)
	}
	files["webhook"] = nextSecret
	v.publish(files)
	p.eventually("the old webhook token is refused", func() bool { return p.postWith(testSecret, nothing) == http.StatusUnauthorized })

	// So are both signing secrets of Slack.
	const nextSecretOfSlack = "00112233445566778899aabbccddeeff"
	files["slack-signing"] = testSlackSecret + "\n" + nextSecretOfSlack
	v.publish(files)
	p.eventually("the new signing secret of Slack is accepted", func() bool { return p.pressedWith(env, nextSecretOfSlack) == http.StatusOK })
	if code := p.pressedWith(env, testSlackSecret); code != http.StatusOK {
		t.Errorf("while both are given, a press with the old signing secret is answered with %d", code)
	}

	// A signing token comes, and the tokens of GitLab and Slack change.
	env.gitlab.SetToken(newToken)
	env.slack.SetToken(newSlack)
	files["signing"], files["gitlab"], files["slack"] = signing, newToken, newSlack
	v.publish(files)
	p.eventually("all are in force", func() bool { return strings.Count(p.logged(), "a secret has changed") == 6 })
	env.gitlab.AddHook(gitlabtest.Hook{URL: p.webhooks, SigningToken: signing, JobEvents: true})
	env.stuckJob()
	env.gitlab.Flush()
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries with the new GitLab token, want 1\n%s", n, p.tail())
	}
	if n := len(env.slack.Posts()); n != 1 {
		t.Errorf("%d messages with the new Slack token, want 1", n)
	}

	for _, secret := range []string{gitlabtest.DefaultToken, newToken, testSecret, nextSecret, testSlack, newSlack, testSlackSecret, nextSecretOfSlack, signing, "hush-hush", "xapp-1"} {
		if strings.Contains(p.logged(), secret) {
			t.Errorf("the log holds the secret %q:\n%s", secret, p.tail())
		}
	}
}

// A reload reads the files at once, and answers what is wrong with them.
func TestSecretsAreReadOnReload(t *testing.T) {
	env := newEnvironment(t)
	file := env.write("webhook", testSecret)
	t.Setenv("PIPESTEWARD_WEBHOOK_TOKEN_FILE", file)
	t.Setenv("PIPESTEWARD_GITLAB_TOKEN", gitlabtest.DefaultToken)
	p := env.runFromEnv()
	env.write("webhook", "next")
	if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
		t.Errorf("a reload: %d %s", code, text)
	}
	if code := p.postWith("next", []byte(`{"object_kind":"push"}`)); code != http.StatusOK {
		t.Errorf("after a reload the new token is answered with %d", code)
	}
	env.write("webhook", "")
	if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusUnprocessableEntity || !strings.Contains(text, "PIPESTEWARD_WEBHOOK_TOKEN_FILE: the file is empty") {
		t.Errorf("a reload of an empty file: %d %s, want 422 with what is wrong", code, text)
	}
}

// TestCheckupOfRotatedSecrets: the checks that a person requests are of the secrets in force, not
// of those at the start.
func TestCheckupOfRotatedSecrets(t *testing.T) {
	env := newEnvironment(t)
	t.Setenv("PIPESTEWARD_WEBHOOK_TOKEN_FILE", env.write("webhook", "guess"))
	t.Setenv("PIPESTEWARD_GITLAB_TOKEN", gitlabtest.DefaultToken)
	p := env.runFromEnv()
	var last time.Time
	found := func(want string) { // by the check that follows the last one
		t.Helper()
		var f admin.Finding
		p.eventually("the webhook's secret is checked", func() bool {
			var checkup admin.Checkup
			_, text := p.get("/api/v1/doctor")
			if err := json.Unmarshal([]byte(text), &checkup); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(checkup.Findings, func(f admin.Finding) bool { return f.Check == "webhook-secret" })
			if i >= 0 {
				f = checkup.Findings[i]
			}
			return f.At.After(last)
		})
		if last = f.At; f.Severity != want {
			t.Errorf("what is found of the webhook's secret is %+v, want %s", f, want)
		}
	}
	found("warning") // at the start
	env.write("webhook", "0123456789abcdef0123456789abcdef")
	if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
		t.Fatalf("a reload: %d %s", code, text)
	}
	p.eventually("checks begin", func() bool { code, _ := p.send("/api/v1/doctor", "{}"); return code == http.StatusOK })
	found("ok")
}

// TestStorePasswordRotates: the URL of a store with another password is put in force, also where
// the work is traced.
func TestStorePasswordRotates(t *testing.T) {
	redis := redistest.Start(t)
	url := func(password string) string { return strings.Replace(redis.URL(), "://", "://:"+password+"@", 1) }
	redis.Do("acl", "setuser", "default", "resetpass", ">first", ">second")
	for name, endpoint := range map[string]string{"traced": "http://127.0.0.1:9", "not traced": ""} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			t.Setenv("PIPESTEWARD_STORE_FILE", env.write("store", url("first")))
			p := env.run("--store", "")
			env.write("store", url("second"))
			if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
				t.Errorf("a reload with the next password: %d %s", code, text)
			}
		})
	}
}
