package app

import (
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store"
)

// DefaultStore is where events are stored without Options.Store.
const DefaultStore = "bolt:pipesteward.db"

// Options are the settings of the service: those that the flags of serve, the
// environment and secret files give.
type Options struct {
	Rules           string // a rule file, or a directory of *.yaml
	Listen          string // address for webhooks; port 0: any that is free
	AdminListen     string // address for API, metrics and health; port 0: any that is free
	AdminAuth       auth.Config
	PublicMetrics   bool   // everybody who reaches AdminListen may read /metrics
	Pprof           bool   // AdminListen serves profiles of the process
	Store           string // bolt:PATH or the URL of a Redis; "": DefaultStore
	GitLabURL       string
	GitLabAliases   []string // other base URLs that the same GitLab calls itself by
	TokenScope      string   // that GitLabToken needs, for errors; "": api
	GitLabToken     string
	JobToken        string // of the CI job that a command runs in; "": it runs in none
	GitLabRate      store.Rate
	NativeRetryWait time.Duration // how long GitLab's own retry: is waited for
	Projects        []string      // projects, globs and groups that catch-up reads besides the known ones
	WebhookURL      string        // the public address of webhooks, which GitLab posts to; "": not known
	EnsureHooks     bool          // the webhooks of these projects are kept in order
	CatchUpEvery    time.Duration // 0: never
	CatchUpMaxAge   time.Duration
	LogWindow       int64 // bytes
	Retention       Retention
	Credentials     webhook.Credentials
	SlackToken      string   // "": nobody is notified in Slack
	SlackURL        string   // "": Slack's own API
	SlackSecrets    []string // by which Slack signs requests; none: it posts none
	SlackAppToken   string   // by which requests are taken in Socket Mode; "": none are
	SlackOperators  []string // user groups in Slack whose members may request everything
	DryRun          bool
	// SecretFiles maps the settings that come from files, like "gitlab-token", to the
	// paths of these files.
	SecretFiles map[string]string
	Version     string // of this program
	Commit      string // that it was built from; "": unknown
}

// VariablePrefix begins the environment variables of settings.
const VariablePrefix = "PIPESTEWARD_"

// Variable returns the name of the environment variable of a setting, like
// PIPESTEWARD_GITLAB_TOKEN of gitlab-token.
func Variable(setting string) string {
	return VariablePrefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// SeenTTL returns how long the store keeps in which status jobs and pipelines were
// seen: as long as catch-up needs that, 0 without catch-up.
func (o Options) SeenTTL() time.Duration {
	if o.CatchUpEvery == 0 {
		return 0
	}
	return 2 * o.CatchUpMaxAge
}

// Workers returns how many records are in flight at the same time: as many as the
// requests that the rate allows in a minute, within bounds. Workers that wait for the
// same response of GitLab share it.
func (o Options) Workers() int {
	const fewest, most, wait = 16, 300, time.Minute
	return int(min(max(fewest, float64(o.GitLabRate.Limit)*wait.Seconds()/o.GitLabRate.Per.Seconds()), most))
}
