package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/lint"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// ReadRules reads a rule file, or all *.yaml of a directory in name order without
// rule tests.
func ReadRules(path string) ([]rulefile.Source, error) {
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
			return nil, err
		}
		files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, ruletest.Suffix) })
		if len(files) == 0 {
			return nil, fmt.Errorf("%s holds no *.yaml", path)
		}
	}
	sources := make([]rulefile.Source, len(files))
	for i, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w (rules.example.yaml is a file to begin with)", err)
		}
		sources[i] = rulefile.Source{Name: name, Data: data}
	}
	return sources, nil
}

// LoadRules loads the rules at a path, as the service does.
func LoadRules(path string, o rulefile.Options) (*rules.Rules, error) {
	sources, err := ReadRules(path)
	if err != nil {
		return nil, fmt.Errorf("--rules: %w", err)
	}
	loaded, _, err := LoadSources(sources, o)
	return loaded, err
}

// LoadSources returns the rules and the warnings about them.
func LoadSources(sources []rulefile.Source, o rulefile.Options) (*rules.Rules, schema.FileErrors, error) {
	loaded, found := lint.Load(o, nil, sources...)
	if loaded == nil {
		return nil, nil, fmt.Errorf("the rules can't be used:\n%w", found.Of(schema.SeverityError))
	}
	return loaded, found, nil
}

// liveRules are the rules in force. They follow their files; after a change that can't
// be used, the rules in force stay.
type liveRules struct {
	path    string
	options rulefile.Options
	log     *slog.Logger
	// check returns why this process can't use rules that are correct.
	check func(*rules.Rules) error
	// receivers are those of the rules in force.
	receivers *Receivers

	inForce atomic.Pointer[rules.Rules]
	mu      sync.Mutex
	tried   string // digest of the files that were last loaded or refused
	state   admin.RulesState
	since   map[string]time.Time // when each rule came into force while running, by its identity
	// replaced receives a value when other rules come into force.
	replaced chan struct{}
}

// openRules loads the rules for the first time.
func openRules(path string, o rulefile.Options, check func(*rules.Rules) error, log *slog.Logger) (*liveRules, error) {
	l := &liveRules{path: path, options: o, check: check, log: log, receivers: NewReceivers(log), replaced: make(chan struct{}, 1)}
	if err := l.load(false); err != nil {
		return nil, err
	}
	return l, nil
}

// load reads the rule files and puts the rules in force, if the files have changed
// since the last time or anyway is set. After an error the rules in force stay.
func (l *liveRules) load(anyway bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sources, err := ReadRules(l.path)
	read := digest(sources, err)
	if read == l.tried && !anyway {
		return nil
	}
	l.tried = read
	var loaded *rules.Rules
	var warnings schema.FileErrors
	if err == nil {
		loaded, warnings, err = LoadSources(sources, l.options)
	} else {
		err = fmt.Errorf("--rules: %w", err)
	}
	if err == nil {
		err = l.check(loaded)
	}
	var putReceivers func()
	if err == nil {
		if putReceivers, err = l.receivers.Prepare(loaded); err != nil {
			err = fmt.Errorf("the rules can't be used:\n%w", err)
			l.tried = "" // the file of a secret may be mended, and not the rules
		}
	}
	if err != nil {
		l.state.Error, l.state.FailedAt = err.Error(), time.Now().UTC()
		return err
	}
	for _, w := range warnings {
		l.log.Warn("a rule may not do what is meant", "file", w.File, "line", w.Line, "column", w.Column, "rule", w.Rule, "reason", w.Message)
	}
	since := map[string]time.Time{}
	for _, identity := range loaded.Identities() {
		if before, known := l.since[identity]; known || l.since == nil {
			since[identity] = before
		} else {
			since[identity] = time.Now()
		}
	}
	replaced := l.since != nil && !maps.Equal(l.since, since)
	l.since = since
	putReceivers()
	l.inForce.Store(loaded)
	if replaced {
		select {
		case l.replaced <- struct{}{}:
		default:
		}
	}
	l.state = admin.RulesState{Hash: read, LoadedAt: time.Now().UTC(), Rules: loaded.Summaries(), Warnings: warnings}
	return nil
}

// Since returns since when the rule with the identity is in force; zero: since the
// start of the process.
func (l *liveRules) Since(identity string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since[identity]
}

// digest returns a hash of the names and contents of rule files, and of the error of
// reading them.
func digest(sources []rulefile.Source, err error) string {
	h := sha256.New()
	for _, s := range sources {
		fmt.Fprintf(h, "%q %d\n%s", s.Name, len(s.Data), s.Data)
	}
	if err != nil {
		fmt.Fprint(h, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Rules returns the rules in force.
func (l *liveRules) Rules() *rules.Rules { return l.inForce.Load() }

// Wants implements webhook.Wanter.
func (l *liveRules) Wants(e event.Event) bool { return l.Rules().Wants(e) }

// State implements admin.RulesReporter.
func (l *liveRules) State() admin.RulesState {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.state
	state.Rules = l.Rules().WithNextRuns(state.Rules, time.Now())
	return state
}

// MayNotify implements admin.RulesReporter.
func (l *liveRules) MayNotify(channel string) bool { return l.Rules().MayNotify(channel) }

// follow loads the rules again when their files change, and on SIGHUP, until ctx is
// done.
func (l *liveRules) follow(ctx context.Context) {
	f := follower{name: "rule files", paths: []string{l.path}, log: l.log, reload: func(anyway bool) {
		_ = l.reload(anyway) // it is logged
	}}
	f.run(ctx)
}

// reload loads the rules, logs the result, and returns the error.
func (l *liveRules) reload(anyway bool) error {
	before := l.State()
	err := l.load(anyway)
	after := l.State()
	switch {
	case err != nil && !anyway && err.Error() == before.Error: // it is logged already
	case err != nil:
		l.log.Error("the rule files can't be used; the rules in force stay", "error", err)
	case anyway || after.Hash != before.Hash || before.Error != "" && after.Error == "":
		l.log.Info("rules loaded", "rules", len(after.Rules), "hash", after.Hash)
	}
	return err
}

// newRulesMetrics returns the metrics of the last load.
func newRulesMetrics(l *liveRules) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pipesteward_rules_last_load_successful",
			Help: "1 when the rule files, as they are, could be used; 0 when older rules are in force.",
		}, func() float64 {
			if l.State().Error != "" {
				return 0
			}
			return 1
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pipesteward_rules_last_load_success_timestamp_seconds",
			Help: "When the rules in force were loaded.",
		}, func() float64 { return float64(l.State().LoadedAt.Unix()) }),
	}
}
