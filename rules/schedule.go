package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/netresearch/go-cron"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Schedule determines when a schedule rule runs, and on which jobs.
type Schedule struct {
	Cron     string   // syntax of crontab(5), or @daily and the like
	Timezone string   // name in the IANA database
	Projects []string // ids, paths or globs of projects, and paths of groups with all their subgroups
	Scope    []string // statuses of the jobs
	Missed   string   // MissedRun or MissedSkip

	Times cron.Schedule
}

// Handling of runs that were due while no process was running.
const (
	MissedRun  = "run"  // one run makes up for all missed runs
	MissedSkip = "skip" // the next run takes place at its scheduled time
)

// Next returns the first time after t at which the rule is due; zero if there
// is none within years. A time that is skipped when the clock is put forward
// is shifted by the difference. A time that occurs twice when it is put back
// is due twice.
func (s Schedule) Next(t time.Time) time.Time { return s.Times.Next(t) }

// Last returns the last time at which the rule was due, after from and not
// after t; zero if there was none.
func (s Schedule) Last(from, t time.Time) time.Time {
	last := time.Time{}
	// A long interval is searched in growing steps back from its end.
	for step := time.Hour; ; step *= 24 {
		start := from
		if t.Add(-step).After(from) {
			start = t.Add(-step)
		}
		for next := s.Next(start); !next.IsZero() && !next.After(t); next = s.Next(next) {
			last = next
		}
		if !last.IsZero() || start.Equal(from) {
			return last
		}
	}
}

// cronParser parses the syntax of crontab(5): if both day fields are set, a
// day matches if either field does.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)

// Scheduled is a schedule rule with what a sweep needs to know about it.
type Scheduled struct {
	Name     string
	Schedule Schedule
	Verbs    []string
	DryRun   bool
	// ReadsProtected is set if the rule reads whether refs are protected.
	// Queues is set if it has actions besides erase, or none.
	ReadsProtected, Queues bool
}

// Scheduled returns the schedule rules, in file order.
func (rs *Rules) Scheduled() []Scheduled {
	var all []Scheduled
	for _, r := range rs.rules {
		if r.On == event.KindSchedule {
			all = append(all, Scheduled{
				Name: r.Name, Schedule: r.Schedule, Verbs: r.Verbs(), DryRun: r.DryRun,
				ReadsProtected: r.mentions("pipeline.protected_ref"),
				Queues:         len(r.Actions) == 0 || slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb != event.VerbErase }),
			})
		}
	}
	return all
}

// EvaluateRule runs one rule on an event that a sweep made for it, and returns
// its decisions. If the rule does not exist, there are none.
func (rs *Rules) EvaluateRule(ctx context.Context, name string, e event.Event, facts expression.Facts) ([]event.Decision, *RuleError) {
	r := rs.byName[name]
	if r == nil || r.On != e.Meta.Kind {
		return nil, nil
	}
	ev, err := rs.evaluation(ctx, e, facts)
	if err != nil {
		return nil, &RuleError{r.Name, "if", err}
	}
	defer ev.End()
	ev.Allot(r.Name, limits.RuleWork)
	return ev.rule(r)
}

// covers reports whether a schedule includes the event's job, by the texts of
// the rule alone, without requests to GitLab.
func (s Schedule) covers(e *event.Event) bool {
	if s.Times == nil {
		return true // not a schedule rule
	}
	return slices.Contains(s.Scope, e.Job.Status) && s.selects(e.Project)
}

// selects reports whether an entry of `projects` selects the project.
func (s Schedule) selects(p event.Project) bool {
	return slices.ContainsFunc(s.Projects, func(entry string) bool { return Covers(entry, p) })
}

// Covers reports whether an entry of `projects` selects the project: the entry
// is its id or path, a glob of the path, or a group above it.
func Covers(entry string, p event.Project) bool {
	if id, ok := ProjectID(entry); ok {
		return id == p.ID
	}
	if IsGlob(entry) {
		return doublestar.MatchUnvalidated(entry, p.Path)
	}
	return entry == p.Path || strings.HasPrefix(p.Path, entry+"/")
}

// ProjectID returns the id if an entry of `projects` is one.
func ProjectID(entry string) (id int64, ok bool) {
	id, err := strconv.ParseInt(entry, 10, 64)
	return id, err == nil
}

// IsGlob reports whether an entry of `projects` is a pattern of paths.
func IsGlob(entry string) bool { return strings.ContainsAny(entry, `*?[{\`) }

// CheckProjects returns an error that describes the mistake in an entry of
// `projects`.
func CheckProjects(entry string) error {
	id, isID := ProjectID(entry)
	shown := redact.URL(entry) // it may have a password
	switch {
	case strings.Contains(entry, "://"), strings.Contains(entry, "@"), strings.HasSuffix(entry, ".git"):
		return fmt.Errorf("%q is a URL: write the project's path, %s", shown, pathIn(shown))
	case isID && id < 1, entry == "", strings.HasPrefix(entry, "/"), strings.HasSuffix(entry, "/"), strings.ContainsAny(entry, " \t\n"):
		return fmt.Errorf("%q is no project: write its id, its path like platform/shop, a glob like platform/*, or the path of a group", shown)
	case !IsGlob(entry) && strings.Contains(entry, ","):
		return fmt.Errorf("%q is no project: no path has a comma; give each one by itself", shown)
	case !doublestar.ValidatePattern(entry):
		return fmt.Errorf("%q is not a pattern: * matches a part of a path, ** several, [ab] and {a,b} one of the alternatives", shown)
	}
	return nil
}

// pathIn returns the path of a project in the URL of its page or its repository.
func pathIn(url string) string {
	_, rest, found := strings.Cut(url, "://")
	if found {
		_, rest, _ = strings.Cut(rest, "/")
	} else if _, after, ok := strings.Cut(url, "@"); ok && !strings.Contains(after, ":") { // user@host/path
		_, rest, _ = strings.Cut(after, "/")
	} else if _, after, ok := strings.Cut(url, ":"); ok { // git@host:path
		rest = after
	} else {
		rest = url
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	rest, _, _ = strings.Cut(rest, "/-/")
	if rest = strings.TrimSuffix(strings.Trim(rest, "/"), ".git"); rest == "" {
		return "like platform/shop"
	}
	return rest
}

// ParseCron parses a cron expression with the syntax of crontab(5), or @daily
// and the like. zone is a name in the IANA time zone database.
func ParseCron(spec, zone string) (cron.Schedule, error) {
	const help = `write minute, hour, day of the month, month and day of the week, like "0 3 * * *", or @daily`
	switch {
	case strings.Contains(spec, "TZ="):
		return nil, errors.New("the time zone is set in `timezone`, not in cron")
	case strings.HasPrefix(spec, "@every"):
		return nil, errors.New("@every counts from when a process started, which is none of all replicas': " + help)
	}
	times, err := cronParser.Parse("CRON_TZ=" + zone + " " + spec)
	if err != nil {
		return nil, fmt.Errorf("%q: %s: %s", spec, strings.TrimPrefix(err.Error(), "cron: "), help)
	}
	return times, nil
}
