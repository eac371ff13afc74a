package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Server is a running server.
type Server interface {
	// Status returns what the server says of itself. Its error says what to do.
	Status(ctx context.Context) (ServerStatus, error)
}

// ServerStatus is what a running server says of itself.
type ServerStatus struct {
	Address   string // of its admin API
	Version   string
	NotReady  string // why it is not ready; "": it is
	DryRun    bool
	RulesErr  string   // why the present rule files can't be used; "": they can
	RuleFiles []string // SHA-256 of the files of its rules, in hex
	Paused    []event.Pause
	Dead      int // buried records
	Due       int // records that could be worked on
}

var errNoServer = errors.New("no server answers")

// serverStatus returns what the running server says of itself.
func (x *exam) serverStatus(ctx context.Context) (ServerStatus, error) {
	return x.server.get(func() (ServerStatus, error) {
		if x.Server == nil {
			return ServerStatus{}, errNoServer
		}
		return x.Server.Status(ctx)
	})
}

func checkServerReady(ctx context.Context, x *exam) []Finding {
	s, err := x.serverStatus(ctx)
	switch {
	case x.Server == nil:
		return nil
	case ctx.Err() != nil:
		return notChecked(ctx.Err())
	case err != nil && x.ServerWanted:
		return one(Problem, firstLine(err), "")
	case err != nil:
		return one(Note, firstLine(err), "")
	case s.NotReady != "":
		return one(Problem, s.Address+" is not ready: "+s.NotReady, "see its log")
	}
	return ok(s.Address + " is ready")
}

// Versions are compared with that of this program, see Config.Version.
func checkServerVersion(ctx context.Context, x *exam) []Finding {
	s, err := x.serverStatus(ctx)
	switch {
	case err != nil:
		return nil // said already
	case s.Version != x.Version:
		return one(Note, fmt.Sprintf("version %s, and this program is %s", s.Version, x.Version), "")
	}
	return ok("version " + s.Version)
}

// checkServerRules compares the rules in force with the files.
func checkServerRules(ctx context.Context, x *exam) []Finding {
	s, err := x.serverStatus(ctx)
	if err != nil {
		return nil
	}
	if s.RulesErr != "" {
		return one(Problem, "the server can't use its rule files, and works by older rules: "+firstLine(errors.New(s.RulesErr)), "`pipesteward check` shows all mistakes")
	}
	if x.Rules == nil {
		return notChecked(errNoRules)
	}
	var own []string
	for _, r := range x.Rules.All() {
		own = append(own, r.Hash)
	}
	for _, all := range []*[]string{&own, &s.RuleFiles} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
	if !slices.Equal(own, s.RuleFiles) {
		return one(Warning, "the server's rules are others than those of --rules here", "give doctor the files of the server, or let the server load these: `pipesteward status` shows its own")
	}
	return ok("the rules of the files are in force")
}

// resumeCommand returns the command that ends a pause, for a shell.
func resumeCommand(p event.Pause) string {
	const command = "pipesteward resume"
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
	switch {
	case p.Project != "":
		return command + " --project " + quote(p.Project)
	case p.Rule != "":
		return command + " --rule " + quote(p.Rule)
	}
	return command
}

func checkServerWork(ctx context.Context, x *exam) []Finding {
	s, err := x.serverStatus(ctx)
	if err != nil {
		return nil
	}
	var found []Finding
	for _, p := range s.Paused {
		found = append(found, one(Note, fmt.Sprintf("%s, since %s", p, p.Since.Format(time.RFC3339)), "`"+resumeCommand(p)+"` ends it")...)
	}
	if s.DryRun {
		found = append(found, one(Note, "the server runs with --dry-run: it changes nothing in GitLab", "")...)
	}
	if s.Dead > 0 {
		found = append(found, one(Warning, english.Plural(s.Dead, "record", "")+" could not be worked on, and were set aside", "`pipesteward queue list --dead` lists them, with the reasons")...)
	}
	if len(found) == 0 {
		return ok(fmt.Sprintf("nothing is paused, %d due, none dead", s.Due))
	}
	return found
}
