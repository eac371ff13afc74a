package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

// maxNativeRetry bounds how long a retry may be deferred for GitLab's own.
const maxNativeRetry = 5 * time.Minute

// defaultRate is the limit of requests to GitLab without --gitlab-rate.
const defaultRate = "300/1m"

// defaultRetention is how long everything is kept that has a setting for it.
const defaultRetention = "30d"

// leastCatchUp is the shortest time between two rounds of catch-up: each round sends
// requests for each project. mostCatchUp is the greatest age of the events that it
// finds: decisions are remembered for as long, so that none is made twice.
const (
	leastCatchUp = 10 * time.Second
	mostCatchUp  = store.DefaultDedupeTTL
)

// env returns the environment variable of a setting.
func env(name string) string { return app.Variable(name) }

func stringFlag(name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, Sources: cli.EnvVars(env(name))}
}

// boolFlag leaves it to malformedBools to say that its variable is malformed, so that this
// is said with all else that is wrong.
func boolFlag(name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, Sources: cli.NewValueSourceChain(&boolVariable{cli.EnvVar(env(name)), env(name)})}
}

// boolVariable is an environment variable, unless its value is malformed.
type boolVariable struct {
	cli.ValueSource
	name string
}

// Lookup implements cli.ValueSource.
func (v *boolVariable) Lookup() (string, bool) {
	value, found := v.ValueSource.Lookup()
	return value, found && checkBool(value) == nil
}

// Key returns the name of the variable, which the help of the flag shows.
func (v *boolVariable) Key() string { return v.name }

// IsFromEnv implements cli.EnvValueSource.
func (v *boolVariable) IsFromEnv() bool { return true }

// checkBool returns what is wrong with the value of the variable of a boolFlag.
func checkBool(value string) error {
	if _, err := strconv.ParseBool(value); value != "" && err != nil {
		return fmt.Errorf("%q is not true or false", value)
	}
	return nil
}

// malformedBools returns the settings of boolFlags whose variable is malformed, where no flag
// stands for it: a command that takes one must not go on without it.
func malformedBools(c *cli.Command) (wrong app.SettingErrors) {
	for _, flag := range c.Flags {
		if b, is := flag.(*cli.BoolFlag); is && len(b.Sources.Chain) > 0 && !c.IsSet(b.Name) {
			wrong = wrong.WithMalformed(b.Name, checkBool(os.Getenv(env(b.Name))))
		}
	}
	return wrong
}

// listFlag takes several values: from the repeated flag, or from the variable with commas
// between.
func listFlag(name, usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: listUsage(name, usage)}
}

// listUsage returns the description of a listFlag.
func listUsage(name, usage string) string {
	return usage + " (repeatable; with commas between in " + env(name) + ")"
}

// secretFlag may also come from the file that the variable NAME_FILE names.
func secretFlag(name, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: secretUsage(name, usage), Sources: cli.EnvVars(env(name)), HideDefault: true}
}

// secretUsage returns the description of a secretFlag.
func secretUsage(name, usage string) string { return usage + "; or a file in " + env(name) + "_FILE" }

// secretsFlag takes several secrets: from the repeated flag, from the variable with
// commas between, or from the file with one on each line. The value of a flag is one
// secret, even with commas: half a secret is easy to guess.
func secretsFlag(name, usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage + "; or with commas between in " + env(name) + ", or a file in " + env(name) + "_FILE, one on each line", HideDefault: true}
}

// serveFlags returns new flags of serve: a flag keeps its parsed value.
func serveFlags() []cli.Flag {
	flags := []cli.Flag{
		stringFlag("rules", "rules.yaml", "rule `FILE`, or a directory of *.yaml, but not *.test.yaml, in the order of their names"),
		stringFlag("listen", ":8080", "`ADDRESS` that receives webhooks, as HOST:PORT"),
		stringFlag("admin-listen", "127.0.0.1:9090", "`ADDRESS` of the operators' API, metrics and health checks, as HOST:PORT"),
		// The default is no Value: that would look like one given beside PIPESTEWARD_STORE_FILE.
		secretFlag("store", "where queue and journal are stored: bolt:PATH (default: "+app.DefaultStore+"), or the `URL` of a Redis (redis://, rediss://, redis+sentinel://, redis+cluster://)"),
		stringFlag("gitlab-url", "https://gitlab.com", "base `URL` of GitLab"),
		listFlag("gitlab-alias", "another base `URL` by which the same GitLab calls itself"),
		secretFlag("gitlab-token", tokenUsage(scopeAll)),
		stringFlag("gitlab-rate", defaultRate, "most requests to GitLab in any such time, of all replicas together, as `REQUESTS/TIME`; a hundredth of them at once"),
		stringFlag("native-retry-wait", "5s", "how long a retry of a job waits for GitLab's own (retry: in .gitlab-ci.yml), as `TIME`; 0s where no project has that"),
		listFlag("projects", "`PROJECT`, glob or group that catch-up reads, besides the projects that sent events, and whose webhooks --ensure-hooks creates"),
		stringFlag("webhook-url", "", "public `URL` of the webhooks, to which GitLab posts: https://pipesteward.example.com"+webhook.Path),
		boolFlag("ensure-hooks", "create and repair the webhooks of --projects and of projects that sent events, at the start and each hour; needs --webhook-url"),
		stringFlag("catch-up-every", "5m", "how often to look for events that no webhook delivered, as `TIME`; 0: never"),
		stringFlag("catch-up-max-age", "24h", "greatest age of missed events that are still handled, as `TIME`; 3d at most"),
		stringFlag("journal-retention", defaultRetention, "how long decisions and what became of them are kept, as `TIME` from 1d to 2y, like all retention; reports begin no earlier"),
		stringFlag("deliveries-retention", defaultRetention, "how long webhook deliveries, and what the rules made of them, are kept at most, as `TIME`"),
		stringFlag("unknown-retention", defaultRetention, "how long failed jobs that no failure class covers are kept at most, as `TIME`"),
		stringFlag("ledger-retention", defaultRetention, "how long what retries taught is kept after the last one, as `TIME`"),
		stringFlag("log-window", strconv.Itoa(1<<20), "how many `BYTES` of a job log log() returns and log_excerpt() reads: its last ones; 104857600 at most"),
		secretsFlag("webhook-token", "secret `TOKEN` that webhooks send (repeatable)"),
		secretsFlag("webhook-signing-token", "`TOKEN` by which webhooks sign, whsec_... (GitLab 19 and later; repeatable)"),
		boolFlag("insecure-no-webhook-auth", "accept webhooks from anybody: without it, a token or a signing token is required"),
		secretFlag("slack-token", "Slack bot `TOKEN`, xoxb-...; without one, nobody is notified in Slack"),
		secretsFlag("slack-signing-secret", "signing `SECRET` of the Slack app: Slack posts buttons and commands to "+slackapp.Prefix+"; needs --slack-token (repeatable)"),
		secretFlag("slack-app-token", "app-level `TOKEN`, xapp-..., of the Slack app: buttons and commands come over a connection to Slack (Socket Mode); needs --slack-token"),
		listFlag("slack-operators", "`GROUP` of users in Slack who may do everything with buttons and commands: @HANDLE or its id"),
		stringFlag("slack-api-url", "", "`URL` of Slack's API, if not Slack's own"),
		boolFlag("dry-run", "evaluate the rules and notify people, but change nothing in GitLab"),
		stringFlag("log-level", "info", "least severe `LEVEL` that is logged: debug, info, warn or error"),
		stringFlag("log-format", formatAuto, "`FORMAT` of the log: text, json, or auto: text on a terminal, in colour unless NO_COLOR is set, else json"),
	}
	return append(flags, adminAuthFlags()...)
}

// reworded gives flags descriptions that fit a command, by their names.
func reworded(usages map[string]string, flags []cli.Flag) []cli.Flag {
	for _, flag := range flags {
		usage, is := usages[flag.Names()[0]]
		if !is {
			continue
		}
		switch f := flag.(type) {
		case *cli.BoolFlag:
			f.Usage = usage
		case *cli.StringFlag:
			f.Usage = usage
		case *cli.StringSliceFlag:
			f.Usage = usage
		}
	}
	return flags
}

// flagsOf returns the flags of serve with these names, for a command that needs
// only them.
func flagsOf(names ...string) []cli.Flag {
	return slices.DeleteFunc(serveFlags(), func(f cli.Flag) bool { return !slices.Contains(names, f.Names()[0]) })
}

// commandSettings reads the settings of a command that sends requests to GitLab with a token
// of a scope, and makes its logger. The error has all that is wrong at once, as
// app.SettingErrors: what is given, and those of the needed settings that are missing besides
// the token. The logger can be used in any case.
func commandSettings(c *cli.Command, stderr io.Writer, scope string, needed ...string) (app.Options, *slog.Logger, error) {
	o, err := readSettings(c)
	o.TokenScope = scope
	log, logErr := newLogger(c, stderr)
	return o, tracing.Logger(log), app.JoinSettings(err, o.CheckGiven(), o.CheckPresent(append([]string{"gitlab-token"}, needed...)...), logErr)
}

// The scopes of GitLab's tokens: to read, and to change something, too.
// https://docs.gitlab.com/user/profile/personal_access_tokens/#personal-access-token-scopes
const (
	scopeRead = "read_api"
	scopeAll  = "api"
)

// scopeOf returns the scope that a command needs which only reads with --dry-run.
func scopeOf(c *cli.Command) string {
	if c.Bool("dry-run") {
		return scopeRead
	}
	return scopeAll
}

// tokenUsage returns the description of --gitlab-token for a command that needs a scope.
func tokenUsage(scope string) string { return "GitLab access `TOKEN` with the scope " + scope }

// dryRunToken describes --gitlab-token for a command of scopeOf.
var dryRunToken = secretUsage("gitlab-token", tokenUsage(scopeAll)+", or with --dry-run "+scopeRead)

// readSettings reads the settings of a command; the error is an app.SettingErrors about
// those that can't be parsed. Whether the others can be used, app.Options.CheckGiven says.
func readSettings(c *cli.Command) (app.Options, error) {
	wrong := malformedBools(c)
	files := map[string]string{}
	fromFile := func(name string) {
		if path := secretPath(name); path != "" {
			files[name] = path
		}
	}
	secret := func(name string) string {
		fromFile(name)
		all, err := secrets(name, c.String(name))
		value, err2 := app.Single(name, all)
		wrong = withSecret(wrong, name, errors.Join(err, err2))
		return value
	}
	several := func(name string) []string {
		fromFile(name)
		given := c.StringSlice(name)
		if !c.IsSet(name) {
			given = strings.Split(os.Getenv(env(name)), ",")
		}
		all, err := secrets(name, given...)
		wrong = withSecret(wrong, name, err)
		return all
	}
	rate, err := parseRate(cmp.Or(c.String("gitlab-rate"), defaultRate))
	wrong = wrong.WithMalformed("gitlab-rate", err)
	native, err := model.ParseDuration(cmp.Or(c.String("native-retry-wait"), "0s"))
	if err != nil || time.Duration(native) > maxNativeRetry {
		wrong = wrong.WithMalformed("native-retry-wait", fmt.Errorf("%q is not a time from 0s to %s, like 5s", c.String("native-retry-wait"), maxNativeRetry))
	}
	every, err := model.ParseDuration(cmp.Or(c.String("catch-up-every"), "0"))
	if err != nil || every != 0 && time.Duration(every) < leastCatchUp {
		wrong = wrong.WithMalformed("catch-up-every", fmt.Errorf("%q is not a time of at least %s, like 5m, or 0 for never", c.String("catch-up-every"), leastCatchUp))
	}
	maxAge, err := model.ParseDuration(cmp.Or(c.String("catch-up-max-age"), "24h"))
	if err != nil || maxAge <= 0 || time.Duration(maxAge) > mostCatchUp {
		wrong = wrong.WithMalformed("catch-up-max-age", fmt.Errorf("%q is not a time up to %s, like 24h", c.String("catch-up-max-age"), model.Duration(mostCatchUp)))
	}
	list := func(name string) []string { return listOf(c, name) }
	projects := list("projects")
	for _, entry := range projects {
		wrong = wrong.WithMalformed("projects", rules.CheckProjects(entry))
	}
	adminAuth, err := readAdminAuth(c, secret, list)
	wrong = wrong.WithMalformed("admin-session-lifetime", err)
	retention := func(name string) time.Duration {
		kept, err := parseRetention(cmp.Or(c.String(name), defaultRetention))
		wrong = wrong.WithMalformed(name, err)
		return kept
	}
	window, err := strconv.ParseInt(cmp.Or(c.String("log-window"), "0"), 10, 64)
	if err != nil || c.String("log-window") != "" && (window < 1 || window > rest.MaxLog) { // without one, 0: a command without logs
		wrong = wrong.WithMalformed("log-window", fmt.Errorf("%q is not a number of bytes from 1 to %d", c.String("log-window"), rest.MaxLog))
	}
	built := thisBuild()
	o := app.Options{
		Rules:           c.String("rules"),
		Listen:          c.String("listen"),
		AdminListen:     c.String("admin-listen"),
		AdminAuth:       adminAuth,
		PublicMetrics:   c.Bool("admin-public-metrics"),
		Pprof:           c.Bool("admin-pprof"),
		Store:           secret("store"),
		GitLabURL:       c.String("gitlab-url"),
		GitLabAliases:   list("gitlab-alias"),
		GitLabToken:     secret("gitlab-token"),
		GitLabRate:      rate,
		NativeRetryWait: time.Duration(native),
		Projects:        projects,
		WebhookURL:      c.String("webhook-url"),
		EnsureHooks:     c.Bool("ensure-hooks"),
		CatchUpEvery:    time.Duration(every),
		CatchUpMaxAge:   time.Duration(maxAge),
		LogWindow:       window,
		Retention: app.Retention{
			Journal: retention("journal-retention"), Deliveries: retention("deliveries-retention"), Unknown: retention("unknown-retention"), Ledger: retention("ledger-retention"),
		},
		Credentials: webhook.Credentials{
			Tokens: several("webhook-token"), SigningTokens: several("webhook-signing-token"), Insecure: c.Bool("insecure-no-webhook-auth"),
		},
		SlackToken:     secret("slack-token"),
		SlackURL:       c.String("slack-api-url"),
		SlackSecrets:   several("slack-signing-secret"),
		SlackAppToken:  secret("slack-app-token"),
		SlackOperators: list("slack-operators"),
		DryRun:         c.Bool("dry-run"),
		SecretFiles:    files,
		Version:        built.version,
		Commit:         built.commit,
	}
	return o, wrong.Err()
}

// listOf returns the values of a setting of listFlag.
func listOf(c *cli.Command, name string) []string {
	if c.IsSet(name) {
		return c.StringSlice(name)
	}
	return app.Trimmed(strings.Split(os.Getenv(env(name)), ","))
}

// parseRate parses "300/1m": at most 300 requests in any window of a minute. A
// hundredth of them may come at once, and the others come evenly. A larger burst would
// leave fewer for the others, because the limit applies to any window.
func parseRate(s string) (store.Rate, error) {
	count, span, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	per, perr := model.ParseDuration(span)
	if err != nil || perr != nil || n < 1 || per <= 0 {
		return store.Rate{}, fmt.Errorf("%q is not a rate: write requests and a time, like 300/1m", s)
	}
	burst := max(1, n/100)
	return store.Rate{Limit: n - burst + 1, Per: time.Duration(per), Burst: burst}, nil
}

// parseRetention parses how long something is kept.
func parseRetention(s string) (time.Duration, error) {
	kept, err := model.ParseDuration(s)
	if err != nil || time.Duration(kept) < app.LeastRetention || time.Duration(kept) > app.GreatestRetention {
		return 0, fmt.Errorf("%q is not a time from %s to %s, like 90d", s, model.Duration(app.LeastRetention), model.Duration(app.GreatestRetention))
	}
	return time.Duration(kept), nil
}

// secretPath returns the file that gives the values of a secret setting; "": none does.
func secretPath(name string) string { return os.Getenv(env(name) + "_FILE") }

// secrets returns the values of a secret setting: those given, or those in the
// file that its variable with _FILE names, one on each line. The error is a usageError where
// it is not about the file.
func secrets(name string, given ...string) ([]string, error) {
	all := app.Trimmed(given)
	path := secretPath(name)
	if path == "" {
		if err := app.CheckSecrets(all); err != nil {
			return all, &usageError{err}
		}
		return all, nil
	}
	if len(all) > 0 {
		return nil, &usageError{fmt.Errorf("%s_FILE is set, and --%s or %s too: choose one", env(name), name, env(name))}
	}
	return app.ReadSecrets(name, path)
}

// withSecret adds what is wrong with a secret setting. A file may be another one when the
// program starts again; what is given without one is not.
func withSecret(wrong app.SettingErrors, name string, err error) app.SettingErrors {
	if _, misused := errors.AsType[*usageError](err); misused {
		return wrong.WithMalformed(name, err)
	}
	return wrong.With(name, err)
}
