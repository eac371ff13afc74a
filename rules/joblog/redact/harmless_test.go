package redact_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// harmlessLines returns lines of logs that contain words of secrets, or values
// that resemble secrets, but no secret.
func harmlessLines() []string {
	sha, digest := hexes(40), hexes(64)
	lines := []string{
		// hashes and ids
		"Checking out " + sha[:8] + " as detached HEAD (ref is main)...",
		"commit " + sha, "HEAD is now at " + sha[:12] + " fix: tokens of tests", "CI_COMMIT_SHA=" + sha, "CI_COMMIT_BEFORE_SHA=" + sha,
		"index " + sha[:7] + ".." + sha[:7] + " 100644", "digest: sha256:" + digest + " size: 1234",
		"Digest: sha256:" + digest, "docker.io/library/alpine@sha256:" + digest, "#5 sha256:" + digest + " 3.62MB / 3.62MB 0.4s done",
		"Using docker image sha256:" + digest + " for alpine:3.20 with digest alpine@sha256:" + digest + " ...",
		"sentry sha256: " + digest, "artifactory-sha256: " + digest, "jfrog-cli checksum: " + digest, "datadog-agent commit: " + sha,
		"sourcegraph/scip-go at " + sha, "cloudflare/wrangler commit=" + sha, "sendbird revision: " + sha, "sha256:4b1d" + hexes(60), "4b1d" + hexes(36),
		"request_id=" + uuid(), "trace " + uuid() + " done", "correlation-id: " + uuid(), "uuid: " + uuid(), "md5: " + hexes(32), hexes(32) + "  a.tar.gz",
		digest + "  pipesteward_linux_amd64", "ETag: \"" + hexes(32) + "\"", "Idempotency: " + uuid(),

		// checksums and versions
		"golang.org/x/crypto v0.54.0 h1:" + mixeds(43) + "=", "golang.org/x/crypto v0.54.0/go.mod h1:" + mixeds(43) + "=",
		`"integrity": "sha512-` + mixeds(86) + `==",`, `  integrity sha512-` + mixeds(86) + `==`, "resolved \"https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#" + sha + "\"",
		"go: downloading github.com/slack-go/slack v0.35.0", "go: added github.com/xanzy/go-gitlab v0.0.0-20240522124346-" + sha[:12],
		"Downloading from central: https://repo.maven.apache.org/maven2/org/apache/maven/3.9.9/maven-3.9.9.pom", "added 1234 packages, and audited 1235 packages in 12s",
		"npm warn deprecated inflight@1.0.6: This module is not supported", "--hash=sha256:" + digest, "openjdk 21.0.3 2024-04-16 LTS", "node v22.4.1, npm 10.8.1",

		// names and values
		"key=value", "key: cache-main", "cache key: " + "main-3-non_protected", "CACHE_KEY=" + "main-3-Non_protected", "PUBLIC_KEY=ssh-ed25519/AAAAC3Nza", "PRIMARY_KEY=order_id2",
		"FOREIGN_KEY=Customer_Id", "SORT_KEY=createdAt1", "SONAR_PROJECT_KEY=shop_Frontend2", "MY_KEY=short", "SOME_KEY=/etc/ssl/a.pem", "SOME_KEY=12345678901",
		"PWD=/builds/group/project", "OLDPWD=/builds", "DB_PASSWORD_FILE=/run/secrets/db", "VAULT_TOKEN_PATH=/x/y", "secretName: tls", "tokenizer: fast", "token_type: Bearer",
		"imagePullSecrets:", "serviceAccountName: default", "keyRef: main", "secretKeyRef:\n  name: db\n  key: password", "max_tokens_count: 512", "LOG_LEVEL=debug", "A=1 B=2 c=3",
		"GIT_ASKPASS=/usr/bin/ssh-askpass", "WRONGPASS: invalid username", "SIGNING_KEY: ${{secrets.SIGNING_KEY}}", "pass = check.all(dst1)", "cookie := new(http.Cookie)", "if cookie != 0 {",
		"ClientKeySource: &v1.Source{", "BYPASS=Always1 x", "COMPASS=North2West", "pass=12 fail=0", "PASS: TestToken", "ok 12 - pass", "passed: 12", "Passwordless sudo is on",

		// references
		"PASSWORD=$DB_PASSWORD", "PASSWORD=${DB_PASSWORD}", "PASSWORD=\"$DB_PASSWORD\"", "TOKEN: ${ci_token}", "STRIPE_KEY=$STRIPE_KEY",
		"$ docker login -u \"$CI_REGISTRY_USER\" -p \"$CI_REGISTRY_PASSWORD\" $CI_REGISTRY", "$ echo \"$CI_JOB_TOKEN\" | docker login -u ci --password-stdin $CI_REGISTRY",
		"$ curl --user \"gitlab-ci-token:$CI_JOB_TOKEN\" https://example.com", "$ curl -u $USER:$PASS https://example.com", "$ sshpass -p $PASS ssh host", "mysql -p$PASS db",
		"curl --header \"PRIVATE-TOKEN: $TOKEN\" https://example.com", "Authorization: Bearer $TOKEN", "https://ci:${CI_JOB_TOKEN}@gitlab.example.com/x.git",
		"<password>${db.password}</password>", "{\"name\": \"DB_PASSWORD\", \"value\": \"$DB_PASSWORD\"}",

		// commands and documents
		"docker run -p 8080:80 nginx", "docker compose -p shop up", "ssh -p 2222 host", "mkdir -p a/b", "curl -fsSL https://example.com/install.sh -o install.sh", "mysql -h db -u root -p shop",
		"curl --user-agent x https://example.com", "curl -X PUT -u ci https://example.com", "redis-cli -h cache ping", "zip -r a.zip b", "helm upgrade --install -f values.yaml x .",
		"set token expired to 1", "set password policy", "ENV PATH /usr/bin", "Step 3/9 : ENV TOKEN_FILE /run/x1", "ARG TOKEN", "set -euo pipefail", "npm config set registry https://registry.npmjs.org/",
		"sudo -S apt-get update", "echo done | tee log", "openssl version -a", "7z x a.7z", "nuget push x.nupkg", "kubectl create secret generic db --from-file=a=b", "dotnet test --results-directory x",
		"please login with -p", "default password is not set", "the machine is up", "usage: x <token> <url>", "<token>", "a -> b", "x => y", "<url>https://example.com</url>",
		`{"name": "LOG_LEVEL", "value": "debug"}`, `{"value": "debug", "name": "LOG_LEVEL"}`, "- name: LOG_LEVEL\n  value: debug\n- name: DB_PASSWORD\n  valueFrom: x", "value: 12", "the value = 3",
		"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: b\n", "kind: SecretStore\ndata:\n  a: b\n---", "kind: Secret\nmetadata:\n  name: db\n  namespace: shop\n", "description: |\n  a b\n  c\n",
		"cookie: true", "Set-Cookie was missing", "cookies accepted", "the signature=ok", "sig=1",

		// URLs, paths, times, objects
		"https://example.com/a/b?c=d&e=f#g", "https://registry.npmjs.org/@babel/core", "git@gitlab.example.com:group/project.git", "https://discord.com/channels/1/2", "https://hooks.slack.com/",
		"https://api.telegram.org/", "src/auth/token.go:12:5: undefined: parse", "/builds/group/project/node_modules/.bin/webpack", "lib/secrets/store.rb", "C:\\Users\\ci\\AppData",
		"2026-01-02T03:04:05.678901Z info x", "[12:34:56.789]", "Tue Jan  2 03:04:05 UTC 2026", "took 1m3.52s", "pod/shop-7d9f8b6c5d-x2x4z created", "deployment.apps/shop configured",
		"shop-7d9f8b6c5d-x2x4z   1/1     Running   0          3m", "service/redis-master ClusterIP 10.0.0.1 6379/TCP", "s.handleRequestWithContextX(", "s.Handler.ServeHTTP(w, r)", "if !s.ReadUint16LengthPrefixed(&x) {",
		"linear regression: converged", "travis, twitter and discord: ok", "okta: unreachable", "sentry: flushing", "a blob: 12 kB", "test_discord_webhooks PASSED", "task :compileJava UP-TO-DATE",
		"disk 80% full", "sk-learn 1.5", "npm_config_cache=/cache", "glob_pattern=*.go", "patch applied", "api-gateway-service-of-the-shop ready", "a3-page.pdf", "mailgun, 12 sent",

		// GitLab Runner
		"Running with gitlab-runner 17.5.3 (" + sha[:8] + ")", "  on runner-abc xS6Vzpvos, system ID: s_6b1e4f06fcfd", "Preparing the \"docker+machine\" executor",
		"Getting source from Git repository", "Fetching changes with git depth set to 20...", "Initialized empty Git repository in /builds/group/project/.git/",
		"Created fresh repository.", "Skipping Git submodules setup", "Executing \"step_script\" stage of the job script", "Checking cache for main-protected...",
		"Downloading cache from https://storage.googleapis.com/runners-cache/project/1/main-protected", "Successfully extracted cache",
		"Uploading artifacts as \"archive\" to coordinator... 201 Created  id=7654321 responseStatus=201 Created", "Cleaning up project directory and file based variables",
		"Job succeeded", "ERROR: Job failed: exit code 1", "WARNING: Event retrieved from the cluster: 0/3 nodes are available", "section_start:1700000000:prepare_executor",
		"https://gitlab-ci-token:[MASKED]@gitlab.example.com/group/project.git/", "PASSWORD=[MASKED]",
	}
	return lines
}

func TestMaskLeavesHarmless(t *testing.T) {
	lines := harmlessLines()
	for _, text := range append(lines, strings.Join(lines, "\n\n")) {
		if diff := cmp.Diff(text, redact.Secrets(text)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

// TestMaskLeavesMany checks that many lines that have to be inspected do not
// exhaust the work.
func TestMaskLeavesMany(t *testing.T) {
	for _, line := range []string{
		"key=a1 value=b2\n", "key=a value=b ", "- name: A\n  value: b\n", "{\"name\": \"A\", \"value\": \"b\"}, ", "<add key=\"A\" value=\"b\"/>\n",
		"twitter: 12, linear: 3, discord=4\n", "curl -fsSL https://example.com/x -o y\n", "docker login ok, set -e; default\n", "set x to y\n", "echo a | tee b\n",
		"kind: Secret\nmetadata:\n  name: a\n---\n", "cookie: none\n", "mysql -h db -u root shop -e 'select 1'\n", "> Task :compileJava SKIPPED\n", "tests/test_live_api.py::test_pat PASSED\n",
		"default machine login\n", "facebook/react twitter/x okta/y\n",
	} {
		text := strings.Repeat(line, 1<<18/len(line))
		if got := redact.Secrets(text); got != text {
			i := strings.Index(got, "[masked]")
			t.Errorf("%q is hidden: …%q", line, got[max(0, i-100):min(len(got), i+100)])
		}
	}
}

// TestMaskLeavesLogs checks that the logs of testdata, which contain no
// secrets, do not change.
func TestMaskLeavesLogs(t *testing.T) {
	logs, err := filepath.Glob("../testdata/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, log := range logs {
		text := joblog.Clean(fixture.Read(t, log))
		if diff := cmp.Diff(text, redact.Secrets(text)); diff != "" {
			t.Errorf("%s: -want +got\n%s", log, diff)
		}
	}
}
