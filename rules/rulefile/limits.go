package rulefile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
	"github.com/pipesteward/pipesteward/rules/templates"
)

func defaultLimits() rules.Limits {
	return rules.Limits{
		PerJob:      3,
		PerPipeline: 20,
		PerProject:  rules.Budget{Count: 100, Per: event.Duration(time.Hour)},
		Total:       rules.Budget{Count: 1000, Per: event.Duration(time.Hour)},
	}
}

func defaultStorm() rules.Storm {
	return rules.Storm{Failures: 30, Pipelines: 10, Within: event.Duration(5 * time.Minute), Pause: event.Duration(15 * time.Minute)}
}

// set is the content that the files loaded together share.
type set struct {
	limits  rules.Limits
	storm   rules.Storm
	learns  bool
	prices  rules.Prices
	reports []rules.Report
	classes failureclass.List
	// everyFailure is whether the log of each failed job is read.
	everyFailure bool

	receivers []receiver.Definition
	templates templates.Set

	places    map[string]string // where each key or name that may occur only once was set
	to        event.Address     // the first constant one in the files' defaults; zero: there is none
	language  string            // that of the same defaults
	replies   string            // the first language in the files' defaults; "": there is none
	included  failureclass.List // the classes of packs
	classWork int               // limits.MatchUnits of the classes' patterns
}

func newSet() *set {
	return &set{limits: defaultLimits(), storm: defaultStorm(), learns: true, templates: templates.Set{}, places: map[string]string{}}
}

// setDefaults sets the settings that no file sets to their defaults.
func (s *set) setDefaults() {
	if s.places["storm"] == "" {
		s.storm.To, s.storm.Language = s.to, s.language
		if s.to == (event.Address{}) {
			s.storm.To = slackChannel("")
		}
	}
	s.storm.Language = s.languageOf(s.storm.To.Receiver, s.storm.Language)
}

// unique returns the schema of a key that only one of the files may set.
func (s *set) unique(of schema.Schema) schema.Schema {
	read := of.Read
	of.Read = func(f *schema.Document, n *yaml.Node, what string) {
		if first := s.places[what]; first != "" {
			f.FailAt(n, "`%s` is already set in %s: it applies to the rules of all files, so only one of them can set it", what, first)
			return
		}
		s.places[what] = f.Place(n)
		read(f, n, what)
	}
	return of
}

// Limits on budgets and storms.
const (
	maxBudget    = 1_000_000 // retries
	minBudgetPer = time.Second
	maxBudgetPer = 30 * 24 * time.Hour

	maxStorm  = 10_000 // failures, and pipelines
	minWithin = 10 * time.Second
	maxWithin = 24 * time.Hour
	minPause  = time.Minute
	maxPause  = 24 * time.Hour
)

const budgetHelp = "write how many in which time, like 100/1h"

func (s *set) limitsSchema() schema.Schema {
	l := &s.limits
	return s.unique(schema.Mapping("limits", schema.Fields{
		schema.Key("per_job", "How often a job may run in its pipeline, like max_attempts of a retry: all its runs count. The smaller of the two applies.", schema.PositiveInt(&l.PerJob)),
		schema.Key("per_pipeline", "How many retries a pipeline may have, whoever started them.", schema.PositiveInt(&l.PerPipeline)),
		schema.Key("per_project", "How many retries a project may have, in which time.", budget(&l.PerProject)),
		schema.Key("total", "How many retries there may be in all, in which time.", budget(&l.Total)),
		schema.Key("per_class", "How many retries there may be of failures of one class, in which time, by the class's name: Pipesteward's own, or one of `classes`. Without it: as many as the other limits allow.", s.budgets(&l.PerClass)),
	}))
}

// stormSchema reads `storm`. d are the file's defaults.
func (s *set) stormSchema(d *defaults) schema.Schema {
	storm := &s.storm
	keys := exclusive(schema.Mapping("storm", schema.Fields{
		schema.Key("failures", "How many failures of one class, all of which a rule wants retried, are a storm.", schema.AtMost(maxStorm, &storm.Failures)),
		schema.Key("pipelines", "In how many pipelines they must be, at least.", schema.AtMost(maxStorm, &storm.Pipelines)),
		schema.Key("within", "In which time they must come: 10s to 1d.", schema.DurationBetween(&storm.Within, minWithin, maxWithin)),
		schema.Key("pause", "How long the retries of the class wait after it was a storm for the last time: 1m to 1d.", schema.DurationBetween(&storm.Pause, minPause, maxPause)),
		schema.Key("channel", "The Slack channel to notify of a storm's start and end. Without it: the one in `defaults`.", channel(&storm.To.Channel)),
		schema.Key("receiver", "The receiver to notify of a storm's start and end, by its name in `receivers`. Without it: the one in `defaults`.", s.receiverName(&storm.To.Receiver)),
	}), "storm")
	return s.unique(schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			storm.To, storm.Language = d.address(), d.language
			if schema.Has(n, "channel") || storm.To == (event.Address{}) {
				storm.To = slackChannel("")
			}
			if schema.Has(n, "receiver") {
				storm.To.Channel = ""
			}
			keys.Read(f, n, what)
		},
		JSON: keys.JSON,
	})
}

// budgetPattern is the syntax of parseBudget, as far as JSON Schema can
// express it.
const budgetPattern = `^[1-9][0-9]{0,6}/([0-9]+(y|w|d|h|ms|m|s))+$`

var budgetShape = regexp.MustCompile(budgetPattern)

// parseBudget reads a budget like 100/1h.
func parseBudget(s string) (rules.Budget, error) {
	count, per, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if err != nil || !budgetShape.MatchString(s) {
		return rules.Budget{}, fmt.Errorf("%q is not a budget: %s", s, budgetHelp)
	}
	d, err := event.ParseDuration(per)
	switch {
	case err != nil:
		return rules.Budget{}, err
	case n > maxBudget:
		return rules.Budget{}, fmt.Errorf("a budget allows at most %d, not %d", maxBudget, n)
	case d < minBudgetPer || d > maxBudgetPer:
		return rules.Budget{}, fmt.Errorf("a budget is for a time from %s to %s, not %s", event.Duration(minBudgetPer), event.Duration(maxBudgetPer), event.Duration(d))
	}
	return rules.Budget{Count: n, Per: event.Duration(d)}, nil
}

// budget reads a budget like 100/1h.
func budget(to *rules.Budget) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			b, err := parseBudget(n.Value)
			if err != nil {
				f.FailAt(n, "%s: %v", what, err)
				return
			}
			*to = b
		},
		JSON: func() schema.JSON {
			s := schema.JSON{"type": "string", "pattern": budgetPattern, "errorMessage": budgetHelp}
			if to.Count > 0 {
				s["default"] = to.String()
			}
			return s
		},
	}
}

// budgets reads a mapping of failure classes to budgets.
func (s *set) budgets(to *map[string]rules.Budget) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind != yaml.MappingNode {
				f.FailAt(n, "%s must be a mapping of failure classes to budgets, like {script: 20/1h}", what)
				return
			}
			known := slices.Concat(event.FailureClasses, s.classes.Names())
			*to = map[string]rules.Budget{}
			for key, value := range schema.Pairs(n) {
				if _, twice := (*to)[key.Value]; twice {
					f.FailAt(key, "%q occurs twice in %s", key.Value, what)
					continue
				}
				if _, pack := failureclass.InPack(key.Value); pack != "" && !slices.Contains(known, key.Value) {
					f.FailAt(key, "%q is a failure class of the pack %s, which is not included: write `classes: {include: [%s]}`", key.Value, pack, pack)
				} else if !slices.Contains(known, key.Value) {
					f.FailAt(key, "%q is not a failure class%s: there are %s, and those in `classes`", key.Value, spelling.Suggestion(key.Value, known), schema.Enumerate(event.FailureClasses))
				}
				var b rules.Budget
				budget(&b).Read(f, schema.Resolve(value), what+"."+key.Value)
				(*to)[key.Value] = b
			}
		},
		JSON: func() schema.JSON {
			return schema.JSON{
				"type":                 "object",
				"propertyNames":        schema.JSON{"pattern": className.String()},
				"additionalProperties": budget(new(rules.Budget)).JSON(),
			}
		},
	}
}
