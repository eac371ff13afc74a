package redact_test

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// of returns n characters of an alphabet that look random, the same each time.
func of(alphabet string, n int) string {
	b := make([]byte, n)
	for i, state := 0, uint32(n); i < n; i++ {
		state = state*1664525 + 1013904223
		b[i] = alphabet[int(state>>16)%len(alphabet)]
	}
	return string(b)
}

func hexes(n int) string  { return of("0123456789abcdef", n) }
func digits(n int) string { return of("0123456789", n) }
func lowers(n int) string { return of("abcdefghijklmnopqrstuvwxyz0123456789", n) }
func uppers(n int) string { return of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", n) }
func mixeds(n int) string {
	return of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", n)
}
func letters(n int) string { return of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", n) }
func uuid() string {
	h := hexes(32)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

var (
	marks        = regexp.MustCompile(`(?s)«.*?»`)
	withoutMarks = strings.NewReplacer("«", "", "»", "")
)

// leaks returns texts with secrets between « and ».
func leaks() map[string]string {
	p := "Tr0ub4dor" + digits(3)
	k := mixeds(40)
	user := "«ci:" + p + "»"
	return map[string]string{
		// providers
		"1Password":                 "key «A3-" + uppers(6) + "-" + uppers(11) + "-" + uppers(5) + "-" + uppers(5) + "-" + uppers(5) + "» ok",
		"1Password service account": "use «ops_eyJ" + mixeds(700) + "» ok",
		"1Password, cut at a slash": "use «ops_eyJ" + mixeds(1100) + "/" + mixeds(200) + "» ok",
		"Adafruit":                  "adafruit_io=«" + lowers(32) + "»",
		"Adobe":                     "«p8e-" + lowers(32) + "»",
		"age":                       "# secret\n«AGE-SECRET-KEY-1" + of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58) + "»\n",
		"Airtable":                  "«pat" + mixeds(14) + "." + hexes(64) + "»",
		"Algolia":                   "algolia: «" + lowers(32) + "»",
		"Alibaba Cloud":             "id «LTAI" + mixeds(20) + "» used",
		"Anthropic":                 "«sk-ant-api03-" + mixeds(93) + "AA»",
		"Anthropic admin":           "«sk-ant-admin01-" + mixeds(93) + "AA»",
		"Artifactory":               "«AKCp" + mixeds(69) + "»",
		"Artifactory reference":     "«cmVmd" + mixeds(59) + "»",
		"Atlassian":                 "«ATATT3" + mixeds(186) + "»",
		"AWS":                       "aws «AKIA" + uppers(16) + "» denied",
		"AWS session":               "aws «ASIA" + uppers(16) + "» denied",
		"AWS Bedrock":               "«ABSK" + mixeds(120) + "»",
		"Azure AD":                  "secret is '«abC8Q~" + mixeds(34) + "»'",
		"Bitbucket":                 "bitbucket_client: «" + lowers(32) + "»",
		"Cisco Meraki":              "meraki: «" + hexes(40) + "»",
		"ClickHouse":                "«4b1d" + mixeds(38) + "»",
		"Clojars":                   "«CLOJARS_" + lowers(60) + "»",
		"Cloudflare":                "cloudflare: «" + hexes(37) + "»",
		"Cloudflare origin":         "«v1.0-" + hexes(24) + "-" + hexes(146) + "»",
		"Codecov":                   "codecov: «" + lowers(32) + "»",
		"Cohere":                    "cohere = «" + mixeds(40) + "»",
		"Databricks":                "«dapi" + hexes(32) + "»",
		"Datadog":                   "DATADOG_API=«" + lowers(40) + "»",
		"DigitalOcean":              "«dop_v1_" + hexes(64) + "»",
		"DigitalOcean OAuth":        "«doo_v1_" + hexes(64) + "»",
		"DigitalOcean refresh":      "«dor_v1_" + hexes(64) + "»",
		"Doppler":                   "«dp.pt." + mixeds(43) + "»",
		"Discord":                   "discord: «" + hexes(64) + "»",
		"Dropbox":                   "dropbox: «sl." + lowers(135) + "»",
		"Duffel":                    "«duffel_live_" + mixeds(43) + "»",
		"Dynatrace":                 "«dt0c01." + mixeds(24) + "." + mixeds(64) + "»",
		"EasyPost":                  "«EZAK" + mixeds(54) + "»",
		"Facebook":                  "«EAAC" + mixeds(120) + "»",
		"Fly.io":                    "«fo1_" + mixeds(43) + "»",
		"Frame.io":                  "«fio-u-" + mixeds(64) + "»",
		"Google":                    "GET /maps?v=«AIza" + mixeds(35) + "»&x=1",
		"GitHub":                    "«ghp_" + mixeds(36) + "»",
		"GitHub app":                "«ghs_" + mixeds(36) + "»",
		"GitHub fine-grained":       "«github_pat_" + mixeds(82) + "»",
		"GitLab":                    "«glpat-" + mixeds(20) + "»",
		"GitLab, routable":          "«glpat-" + mixeds(27) + "." + lowers(9) + "»",
		"GitLab runner":             "«glrt-" + mixeds(20) + "»",
		"GitLab job":                "«glcbt-64_" + mixeds(20) + "»",
		"GitLab OAuth":              "«gloas-" + hexes(64) + "»",
		"Grafana":                   "«glsa_" + mixeds(32) + "_" + hexes(8) + "»",
		"Grafana Cloud":             "«glc_" + mixeds(100) + "»",
		"Harness":                   "«pat." + mixeds(22) + "." + mixeds(24) + "." + mixeds(20) + "»",
		"HashiCorp Terraform":       "«" + mixeds(14) + ".atlasv1." + mixeds(64) + "»",
		"HashiCorp Vault":           "«hvs." + mixeds(95) + "»",
		"HashiCorp Vault batch":     "«hvb." + mixeds(150) + "»",
		"HashiCorp Vault, old":      "«s." + mixeds(24) + "»",
		"Heroku":                    "heroku: «" + uuid() + "»",
		"Heroku, new":               "«HRKU-AA" + mixeds(58) + "»",
		"Hugging Face":              "«hf_" + letters(34) + "»",
		"Infracost":                 "«ico-" + mixeds(32) + "»",
		"JFrog":                     "jfrog: «" + lowers(73) + "»",
		"Linear":                    "«lin_api_" + mixeds(40) + "»",
		"LaunchDarkly":              "launchdarkly: «" + lowers(40) + "»",
		"Mailchimp":                 "mailchimp: «" + hexes(32) + "-us12»",
		"Mailgun":                   "mailgun: «key-" + hexes(32) + "»",
		"Mapbox":                    "mapbox: «pk." + lowers(60) + "." + lowers(22) + "»",
		"MaxMind":                   "«" + mixeds(6) + "_" + mixeds(29) + "_mmk»",
		"Netlify":                   "netlify: «" + lowers(42) + "»",
		"New Relic":                 "new_relic: «NRAK-" + lowers(27) + "»",
		"Notion":                    "«ntn_" + digits(11) + mixeds(35) + "»",
		"npm":                       "«npm_" + mixeds(36) + "»",
		"Octopus Deploy":            "«API-" + uppers(26) + "»",
		"Okta":                      "okta: «00" + mixeds(40) + "»",
		"OpenAI":                    "«sk-" + mixeds(20) + "T3BlbkFJ" + mixeds(20) + "»",
		"OpenAI project":            "«sk-proj-" + mixeds(74) + "T3BlbkFJ" + mixeds(74) + "»",
		"OpenShift":                 "«sha256~" + mixeds(43) + "»",
		"Perplexity":                "«pplx-" + mixeds(48) + "»",
		"PlanetScale":               "«pscale_tkn_" + mixeds(40) + "»",
		"PlanetScale password":      "«pscale_pw_" + mixeds(40) + "»",
		"Postman":                   "«PMAK-" + hexes(24) + "-" + hexes(34) + "»",
		"Prefect":                   "«pnu_" + mixeds(36) + "»",
		"Pulumi":                    "«pul-" + hexes(40) + "»",
		"PyPI":                      "«pypi-AgEIcHlwaS5vcmc" + mixeds(120) + "»",
		"RapidAPI":                  "rapidapi: «" + lowers(50) + "»",
		"ReadMe":                    "«rdme_" + lowers(70) + "»",
		"RubyGems":                  "«rubygems_" + hexes(48) + "»",
		"Scalingo":                  "«tk-us-" + mixeds(48) + "»",
		"SendGrid":                  "«SG." + mixeds(22) + "." + mixeds(43) + "»",
		"Sendinblue":                "«xkeysib-" + hexes(64) + "-" + lowers(16) + "»",
		"Sentry":                    "«sntryu_" + hexes(64) + "»",
		"Shippo":                    "«shippo_live_" + hexes(40) + "»",
		"Shopify":                   "«shpat_" + hexes(32) + "»",
		"Shopify shared":            "«shpss_" + hexes(32) + "»",
		"Slack app":                 "«xapp-1-" + uppers(10) + "-" + digits(12) + "-" + hexes(64) + "»",
		"Slack bot":                 "«xoxb-" + digits(12) + "-" + digits(12) + "-" + mixeds(24) + "»",
		"Snyk":                      "snyk_token: «" + uuid() + "»",
		"Sonar":                     "sonar.login=«" + hexes(40) + "»",
		"Sourcegraph":               "«sgp_" + hexes(40) + "»",
		"Square":                    "«sq0atp-" + mixeds(22) + "»",
		"Stripe":                    "«sk_live_" + mixeds(24) + "», again",
		"Stripe restricted":         "«rk_test_" + mixeds(24) + "»",
		"Sumo Logic":                "SUMO: «" + lowers(64) + "»",
		"Telegram":                  "telegram: «" + digits(9) + ":A" + mixeds(34) + "»",
		"Twilio":                    "«SK" + hexes(32) + "»",
		"Twitter":                   "twitter: «" + lowers(50) + "»",
		"Typeform":                  "typeform: «tfp_" + lowers(59) + "»",
		"Yandex":                    "yandex: «AQVN" + mixeds(38) + "»",
		"Zendesk":                   "zendesk: «" + lowers(40) + "»",

		// commands
		"docker login":             "$ docker login -u ci -p «" + p + "» registry.example.com",
		"docker login, attached":   "$ docker login -u ci -p«" + p + "» registry.example.com",
		"docker login --password":  "$ docker login --username ci --password «" + p + "» registry.example.com",
		"docker login --password=": "$ docker login --username ci --password=«" + p + "» registry.example.com",
		"docker login, quoted":     "$ docker login -p '«" + p + " x»' registry.example.com",
		"docker login in sh -c":    `sh -c "docker login -u ci -p «` + p + `»"`,
		"docker login, arguments":  `exec ["docker", "login", "-u", "ci", "-p", "«` + p + `»", "registry"]`,
		"docker login, two lines":  "docker login \\\n  -p «" + p + "» x",
		"docker login from echo":   "echo «" + p + "» | docker login -u ci --password-stdin",
		"podman login":             "podman login -p «" + p + "» quay.io",
		"helm registry login":      "helm registry login -u ci -p «" + p + "» registry.example.com",
		"az login":                 "az login --service-principal -u x -p «" + p + "» --tenant y",
		"sshpass":                  "sshpass -p «" + p + "» ssh -p 2222 root@host",
		"sshpass, attached":        "sshpass -p«" + p + "» ssh root@host",
		"sshpass, quoted":          "sshpass -v -p '«" + p + " x»' ssh root@host",
		"mysql":                    "mysql -h db -u root -p«" + p + "» shop",
		"mysqldump":                "mysqldump -uroot -p'«" + p + "»' shop",
		"mariadb":                  "mariadb -p«" + p + "» shop",
		"redis-cli":                "redis-cli -h cache -a «" + p + "» ping",
		"redis-cli --pass":         "redis-cli --pass «" + p + "» ping",
		"mongosh":                  "mongosh -u root -p «" + p + "» db",
		"ldapsearch":               "ldapsearch -D cn=x -w «" + p + "» -b dc=y",
		"openssl":                  "openssl rsa -passin pass:«" + p + "» -in k.pem",
		"zip":                      "unzip -P «" + p + "» a.zip",
		"curl -u":                  "curl -u " + user + " https://example.com",
		"curl --user":              "curl --user " + user + " https://example.com",
		"curl, quoted":             `curl -sS -u "` + user + `" https://example.com`,
		"curl, letters together":   "curl -sSfu " + user + " https://example.com",
		"curl, no user":            "curl -u «:" + p + "» https://dev.azure.com",
		"curl, two lines":          "curl --fail \\\n  --user " + user + " \\\n  https://example.com",
		"curl proxy":               "curl --proxy-user " + user + " https://example.com",
		"netrc":                    "machine gitlab.example.com login ci password «" + p + "»\n",
		"netrc, lines":             "machine gitlab.example.com\n  login ci\n  password «" + p + "»\n",
		"netrc, default":           "default login ci password «" + p + "»\n",
		"netrc, password first":    "machine x password «" + p + "» login ci",

		// documents
		"XML element":                   "<settings><password>«" + p + "»</password></settings>",
		"XML element, blanks":           "<apiToken>\n  «" + p + "»\n</apiToken>",
		"XML element, prefix":           "<ns:password type=\"x\">«" + p + "»</ns:password>",
		"XML element, CDATA":            "<password><![CDATA[«" + p + "<»]]></password>",
		"XML element, cut off":          "<password>«" + p + "»",
		"XML property":                  `<property name="db.password">«` + p + `»</property>`,
		"XML attribute":                 `<server id="x" password="«` + p + `»"/>`,
		"XML pair":                      `<add key="DbPassword" value="«` + p + `»" />`,
		"XML pair, value first":         `<add value="«` + p + `»" key="DbPassword" />`,
		"JSON pair":                     `{"name": "DB_PASSWORD", "value": "«` + p + `»"}`,
		"JSON pair, value first":        `{"value": "«` + p + `»", "name": "DB_PASSWORD"}`,
		"JSON pair, key":                `{"variable_type":"env_var","key":"API_TOKEN","value":"«` + p + `»","protected":false}`,
		"JSON pair, many":               `[{"name":"A","value":"b"},{"name":"SECRET","value":"«` + p + `»"}]`,
		"JSON pair in JSON":             `"{\"name\":\"DB_PASSWORD\",\"value\":\"«` + p + `»\"}"`,
		"JSON pair, lines":              "{\n  \"name\": \"DB_PASSWORD\",\n  \"value\": \"«" + p + "»\"\n}",
		"YAML pair":                     "- name: DB_PASSWORD\n  value: «" + p + "»\n- name: B\n  value: c",
		"YAML pair, value first":        "- value: «" + p + "»\n  name: DB_PASSWORD\n- value: c\n  name: B",
		"CloudFormation":                `{"ParameterKey": "DbPassword", "ParameterValue": "«` + p + `»"}`,
		"block scalar":                  "password: |\n  «" + p + "\n  more»\nother: x",
		"block scalar, folded":          "  token: >-\n    «" + k + "\n\n    " + k + "»\n  other: x",
		"block scalar in a list":        "- secret: |\n    «" + p + "»\n  other: x",
		"docker config":                 `{"auths":{"registry.example.com":{"auth":"«` + encoded("ci:"+p) + `»"}}}`,
		"dockerconfigjson":              "  .dockerconfigjson: «" + encoded(`{"auths":{}}`) + "»\n",
		"kubeconfig key":                "    client-key-data: «" + encoded(k) + "»\n",
		"kubeconfig token":              "    token: «" + k + "»\n",
		"Kubernetes Secret":             "apiVersion: v1\nkind: Secret\nmetadata:\n  name: tls\ndata:\n  a: «" + encoded(p) + "»\n  b.crt: «" + encoded(k) + "»\ntype: Opaque\n",
		"Kubernetes Secret, data first": "apiVersion: v1\ndata:\n  a: «" + encoded(p) + "»\nkind: Secret\nmetadata:\n  name: db\n",
		"Kubernetes Secret, stringData": "kind: Secret\nstringData:\n  user: «root»\n  pass phrase: x\n  a: \"«" + p + "»\"\n  b: |\n    «" + p + "\n    x»\n---\nkind: ConfigMap\ndata:\n  a: b\n",
		"Kubernetes Secret in a list":   "items:\n- apiVersion: v1\n  data:\n    a: «" + encoded(p) + "»\n  kind: Secret\n- apiVersion: v1\n  data:\n    a: b\n  kind: ConfigMap\n",
		"Kubernetes Secret, JSON":       `{"apiVersion":"v1","data":{"a":"«` + encoded(p) + `»","b":"«` + encoded(k) + `»"},"kind":"Secret","metadata":{"name":"db"}}`,
		"Kubernetes Secret, kubectl":    "{\n    \"kind\": \"Secret\",\n    \"data\": {\n        \"a\": \"«" + encoded(p) + "»\"\n    }\n}",

		// headers and URLs
		"Cookie":                   "> Cookie: session=«" + k + "»; lang=«en»",
		"Set-Cookie":               "< Set-Cookie: sid=«" + k + "»; Path=/; Max-Age=60; HttpOnly",
		"Set-Cookie, JSON":         `{"set-cookie": ["sid=«` + k + `»; Path=/; Secure"]}`,
		"curl --cookie":            `curl --cookie "sid=«` + k + `»" https://example.com`,
		"Authorization":            "> Authorization: Bearer «" + k + "»",
		"Basic":                    "> Authorization: Basic «" + encoded("ci:"+p) + "»",
		"Proxy-Authorization":      "> Proxy-Authorization: Basic «" + encoded("ci:"+p) + "»",
		"X-Api-Key":                "> X-Api-Key: «" + k + "»",
		"X-Vault-Token":            "curl -H 'X-Vault-Token: «" + k + "»' https://vault",
		"Discord webhook":          "POST https://discord.com/api/webhooks/«" + digits(18) + "/" + mixeds(68) + "» 404",
		"Discord webhook, version": "POST https://discord.com/api/v10/webhooks/«" + digits(18) + "/" + mixeds(68) + "» 404",
		"Discord webhook, old":     "POST https://discordapp.com/api/webhooks/«" + digits(18) + "/" + mixeds(68) + "» 404",
		"Feishu webhook":           "POST https://open.feishu.cn/open-apis/bot/v2/hook/«" + uuid() + "»",
		"Lark webhook":             "POST https://open.larksuite.com/open-apis/bot/v2/hook/«" + uuid() + "»",
		"WeCom webhook":            "POST https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=«" + uuid() + "»",
		"Doppler service token":    "«dp.st.prd." + mixeds(43) + "»",
		"New Relic user key":       "using «NRAK-" + uppers(27) + "» ok",
		"New Relic insert key":     "using «NRII-" + mixeds(32) + "» ok",
		"New Relic browser key":    "using «NRJS-" + hexes(19) + "» ok",
		"cookie of curl -b":        "curl -b 'session=«" + mixeds(20) + "»' https://host/",
		"PHP session":              "PHPSESSID=«" + lowers(26) + "»",
		"Teams webhook":            "POST https://acme.webhook.office.com/«webhookb2/" + uuid() + "@" + uuid() + "/IncomingWebhook/" + hexes(32) + "/" + uuid() + "»",
		"Office webhook":           "POST https://outlook.office.com/webhook/«" + uuid() + "@" + uuid() + "/IncomingWebhook/" + hexes(32) + "»",
		"Slack webhook":            "POST https://hooks.slack.com/«services/T" + uppers(8) + "/B" + uppers(8) + "/" + mixeds(24) + "» 404",
		"Telegram bot":             "GET https://api.telegram.org/bot«" + digits(9) + ":A" + mixeds(34) + "/sendMessage» 401",
		"Azure SAS":                "https://x.blob.core.windows.net/c/b?sv=2024-01-01&sp=r&sig=«" + mixeds(42) + "%3D»&se=2026",
		"presigned S3":             "https://b.s3.amazonaws.com/k?X-Amz-Date=20260101T000000Z&X-Amz-Signature=«" + hexes(64) + "»&x=1",
		"URL":                      "https://«ci:" + p + "»@example.com/x.git",
		"URL, reference":           "https://«ci:" + p + "»@example.com/$X",
		"database URL":             "DATABASE_DSN=postgres://«u:" + p + "»@db:5432/shop",

		// names
		"_KEY":               "STRIPE_KEY=«" + mixeds(24) + "»",
		"_KEY, quoted":       "export STRIPE_KEY=\"«" + mixeds(24) + "»\"",
		"_KEY, YAML":         "  STRIPE_KEY: «" + mixeds(24) + "»",
		"_PAT":               "AZURE_PAT=«" + lowers(52) + "»",
		"_PW":                "DB_PW=«" + p + "»",
		"_PASS":              "DB_PASS=«" + p + "»",
		"DBPASS":             "DBPASS=«" + p + "»",
		"PGPASSWORD":         "PGPASSWORD=«" + p + "» psql",
		"MYSQL_PWD":          "MYSQL_PWD=«" + p + "» mysql",
		"pass=":              "host=db user=x pass=«" + p + "» port=1",
		"client_secret":      "client_secret=«" + p + "» x",
		"reference and more": "PASSWORD=«" + p + "$SUFFIX»",
		"half a reference":   "PASSWORD=«${" + p + "»",
		// more commands
		"twine":                 "twine upload -u __token__ -p «" + p + "» dist/*",
		"sqlcmd":                "sqlcmd -S db -U sa -P «" + p + "» -Q x",
		"sqlplus":               "sqlplus -S shop/«" + p + "@db» @x.sql",
		"lftp":                  "lftp -u «ci," + p + "» ftp.example.com",
		"smbclient":             "smbclient //host/share -U «ci%" + p + "» -c ls",
		"ssh-keygen":            "ssh-keygen -t ed25519 -N '«" + p + "»' -f key",
		"nuget push":            "dotnet nuget push x.nupkg -k «oy2" + lowers(43) + "» -s y",
		"nuget push, any key":   "dotnet nuget push x.nupkg -k «" + p + "» -s y",
		"htpasswd":              "htpasswd -bc users.txt ci «" + p + "»",
		"htpasswd to stdout":    "htpasswd -nbB ci «" + p + "»",
		"kubectl create secret": "kubectl create secret generic db --from-literal=user=«root1» --from-literal=x=«" + p + "»",
		"PowerShell":            "ConvertTo-SecureString \"«" + p + "»\" -AsPlainText -Force",
		"gh auth login":         "echo «" + p + "» | gh auth login --with-token",
		"sudo":                  "echo '«" + p + "»' | sudo -S apt-get update",
		"chpasswd":              "echo \"«root:" + p + "»\" | chpasswd",
		"Dockerfile ENV":        "Step 3/9 : ENV DB_PASSWORD «" + p + "»",
		"aws configure set":     "aws configure set aws_secret_access_key «" + mixeds(40) + "» --profile x",
		"npm config set":        "npm config set //registry.npmjs.org/:_authToken «" + p + "»",
		"setx":                  "setx API_TOKEN «" + p + "»",
		"7z":                    "7z x -p«" + p + "» a.7z",
		"keytool":               "keytool -list -storepass «" + p + "» -keystore x.jks",
		"kubeadm join":          "kubeadm join 10.0.0.1:6443 --token «abcdef." + lowers(16) + "» \\\n",
		"connection string":     "Server=db;Uid=sa;Pwd=«" + p + "»",

		// more providers
		"Anthropic OAuth":        "«sk-ant-oat01-" + mixeds(95) + "»",
		"Bitbucket app password": "«ATBB" + mixeds(32) + "»",
		"Buildkite":              "«bkua_" + hexes(40) + "»",
		"crates.io":              "cargo login «cio" + mixeds(32) + "»",
		"Docker Hub":             "docker login -u x with «dckr_pat_" + mixeds(27) + "»",
		"Figma":                  "«figd_" + mixeds(40) + "»",
		"Google OAuth client":    "«GOCSPX-" + mixeds(28) + "»",
		"Google access":          "«ya29." + mixeds(100) + "»",
		"Groq":                   "«gsk_" + mixeds(52) + "»",
		"OpenRouter":             "«sk-or-v1-" + hexes(64) + "»",
		"Sonar user":             "«squ_" + hexes(40) + "»",
		"Supabase":               "«sbp_" + hexes(40) + "»",
		"Swarm":                  "docker swarm join --token «SWMTKN-1-" + lowers(50) + "-" + lowers(25) + "» 10.0.0.1:2377",
		"Tailscale":              "«tskey-auth-" + mixeds(17) + "-" + mixeds(32) + "»",
		"Telegram, alone":        "bot «" + digits(10) + ":AA" + mixeds(33) + "» started",
		"TestPyPI":               "«pypi-AgENdGVzdC5weXBpLm9yZ" + mixeds(120) + "»",
	}
}

// TestMaskHidesShapes checks that exactly the text between « and » is hidden.
func TestMaskHidesShapes(t *testing.T) {
	for name, text := range leaks() {
		t.Run(name, func(t *testing.T) {
			in := withoutMarks.Replace(text)
			want := marks.ReplaceAllString(text, "[masked]")
			got := redact.Secrets(in)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Mask(%q): -want +got\n%s", in, diff)
			}
			if diff := cmp.Diff(got, redact.Secrets(got)); diff != "" {
				t.Errorf("masked twice: -once +twice\n%s", diff)
			}
		})
	}
}

// TestMaskHidesShapesTogether checks that secrets are also hidden if they
// follow each other.
func TestMaskHidesShapesTogether(t *testing.T) {
	all := leaks()
	names := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var secrets []string
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 2, 8).Draw(t, "names") {
			text.WriteString(withoutMarks.Replace(all[name]) + "\n\n---\n")
			for _, marked := range marks.FindAllString(all[name], -1) {
				secrets = append(secrets, withoutMarks.Replace(marked))
			}
		}
		got := redact.Secrets(text.String())
		for _, s := range secrets {
			if len(s) >= 8 && strings.Contains(got, s) {
				t.Fatalf("%q in %q", s, got)
			}
		}
	})
}
