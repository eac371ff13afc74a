package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/explain"
	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

func explainCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "explain",
		Usage: "say for each rule why it does or doesn't match an event",
		Description: "Evaluates the rules on one event, and changes nothing. The event is that of a job or a pipeline as GitLab has it\n" +
			"now (--job), or the body of a webhook (--event): copy it from the list of recent deliveries at the webhook in\n" +
			"GitLab. What conditions request of GitLab (log(), jobs(), ...) is read with --gitlab-token; without it, such\n" +
			"conditions can't be evaluated.",
		Flags: append(flagsOf("rules", "gitlab-url", "gitlab-alias"),
			&cli.StringFlag{Name: "event", Usage: "`FILE` with the body of a job or pipeline hook; - reads it from standard input"},
			&cli.StringFlag{Name: "job", Usage: "`URL` of a job's or a pipeline's page in GitLab, in place of --event"},
			&cli.StringFlag{Name: "log", Usage: "`FILE` with the job's log for log() and log_excerpt(), in place of GitLab's; - reads it from standard input"},
			secretFlag("gitlab-token", tokenUsage(scopeRead)),
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.IsSet("event") == c.IsSet("job") {
				return &usageError{errors.New("explain needs one of --event, the body of a webhook, and --job, the address of a job or a pipeline in GitLab")}
			}
			if err := readOnce("--event and --log", c.String("event"), c.String("log")); err != nil {
				return err
			}
			o, err := readSettings(c)
			if err := app.JoinSettings(err, o.CheckGiven()); err != nil {
				return err
			}
			loaded, err := app.LoadRules(o.Rules, rulefile.Options{})
			if err != nil {
				return err
			}
			gl, err := explainedGitLab(o)
			if err != nil {
				return err
			}
			read, err := readFacts(c, gl)
			if err != nil {
				return err
			}
			x, err := explainGiven(ctx, c, newExplainer(o, func() (*rules.Rules, error) { return loaded, nil }, gl, read))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(stdout, x)
			}
			note := ""
			if c.IsSet("job") {
				note = apiNote(x.Unknown)
			}
			return explanation{newPrinter(stdout), note}.print(stdout, x.Event, x.Rules)
		},
	}
}

// newExplainer returns what explains events. gl is nil without a token.
func newExplainer(o app.Options, load func() (*rules.Rules, error), gl *gitlab.Client, read expression.Facts) explain.Explainer {
	x := explain.Explainer{
		Rules:  load,
		Facts:  func() expression.Facts { return read },
		Decode: func(body []byte) (event.Event, error) { return webhook.Decode(body, o.GitLabURL) },
		Now:    time.Now,
	}
	if gl != nil {
		x.GitLab = gl
	}
	return x
}

// explainGiven explains the event that the flags name.
func explainGiven(ctx context.Context, c *cli.Command, x explain.Explainer) (explain.Explained, error) {
	if c.IsSet("job") {
		explained, err := x.Page(ctx, c.String("job"))
		_, wrong := errors.AsType[*gitlab.PageError](err)
		switch {
		case wrong, errors.Is(err, explain.ErrNoGitLab):
			err = &usageError{fmt.Errorf("--job: %w", err)}
		case err != nil:
			err = fmt.Errorf("--job: %w", err)
		}
		return explained, err
	}
	path := c.String("event")
	body, err := readFile(path)
	if err != nil {
		return explain.Explained{}, fmt.Errorf("--event: %w", err)
	}
	explained, err := x.Hook(ctx, body, path)
	if err != nil {
		err = fmt.Errorf("--event: %s: %w", path, err)
	}
	return explained, err
}

// apiNote says how an event from GitLab's API may differ from that of a hook.
func apiNote(unknown []explain.UnknownField) string {
	note := "as GitLab's API has it now"
	if len(unknown) == 0 {
		return note
	}
	fields := make([]string, len(unknown))
	for i, u := range unknown {
		fields[i] = fmt.Sprintf("%s (read by %s)", u.Field, strings.Join(u.Rules, ", "))
	}
	return note + "; the API does not tell what a webhook may, so here these are empty: " + strings.Join(fields, ", ") + ". With the body of the webhook as --event they are not"
}

// explainedGitLab returns the client of GitLab; nil without a token.
func explainedGitLab(o app.Options) (*gitlab.Client, error) {
	if o.GitLabToken == "" {
		return nil, nil
	}
	gl, err := gitlab.New(gitlab.Config{BaseURL: o.GitLabURL, Aliases: o.GitLabAliases, Token: o.GitLabToken, Version: o.Version, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("--gitlab-url, --gitlab-alias: %w", err)
	}
	return gl, nil
}

// readFacts returns the source of the facts that rules request of GitLab.
func readFacts(c *cli.Command, gl *gitlab.Client) (expression.Facts, error) {
	var read expression.Facts = noGitLab{}
	if gl != nil {
		read = facts.Reader{GitLab: gl}
	}
	if path := c.String("log"); path != "" {
		text, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("--log: %w", err)
		}
		read = givenLog{read, string(text)}
	}
	return read, nil
}

// noGitLab fails all requests: there is no token for GitLab.
type noGitLab struct{}

var errNoGitLab = errors.New("nothing is requested of GitLab: give --gitlab-token")

func (noGitLab) Log(context.Context, event.Event) (string, error) {
	return "", fmt.Errorf("%w, or the log with --log", errNoGitLab)
}
func (noGitLab) Jobs(context.Context, event.Event) ([]event.Job, error) { return nil, errNoGitLab }
func (noGitLab) Bridges(context.Context, event.Event) ([]event.Bridge, error) {
	return nil, errNoGitLab
}

func (noGitLab) Details(context.Context, event.Event) (event.Details, error) {
	return event.Details{}, errNoGitLab
}

func (noGitLab) MergeRequestDetails(context.Context, event.Event) (event.MergeRequestDetails, error) {
	return event.MergeRequestDetails{}, errNoGitLab
}

func (noGitLab) OnDefault(context.Context, event.Event) (event.OnDefault, error) {
	return event.OnDefault{}, errNoGitLab
}

func (noGitLab) Tests(context.Context, event.Event) ([]event.FailedTest, error) {
	return nil, errNoGitLab
}

func (noGitLab) Superseded(context.Context, event.Event) (bool, error) { return false, errNoGitLab }

// givenLog returns a text as the log, and requests the rest of GitLab.
type givenLog struct {
	expression.Facts
	text string
}

func (g givenLog) Log(context.Context, event.Event) (string, error) { return g.text, nil }

// explanation prints verdicts for people.
type explanation struct {
	printer
	note string // about the event
}

func (x explanation) print(w io.Writer, e event.Event, verdicts []rules.Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", printable(describe(e)))
	if x.note != "" {
		fmt.Fprintf(&b, "%s\n", x.dim(x.note))
	}
	var others []string
	for _, v := range verdicts {
		if v.Result == rules.VerdictOtherKind {
			others = append(others, v.Rule)
			continue
		}
		b.WriteString("\n")
		x.verdict(&b, v)
	}
	if len(others) > 0 {
		fmt.Fprintf(&b, "\n%s not evaluated, because they are for other kinds of events: %s\n", x.dim("·"), strings.Join(others, ", "))
	}
	_, err := io.WriteString(w, wrapped(b.String(), wrap.Width(w)))
	return err
}

// describe names an event in one line.
func describe(e event.Event) string {
	if e.Meta.Kind == event.KindPipeline {
		return fmt.Sprintf("%s, with %s, in %s on %s", words.Event(&e), english.Plural(len(e.Pipeline.Jobs), "job", ""), e.Project.Path, e.Pipeline.Ref)
	}
	return fmt.Sprintf("%s, attempt %d, in %s on %s", words.Event(&e), e.Job.Attempt, e.Project.Path, e.Job.Ref)
}

func (x explanation) verdict(b *strings.Builder, v rules.Verdict) {
	mark, what := x.red("✗"), "does not match"
	switch v.Result {
	case rules.VerdictMatched:
		mark, what = x.green("✓"), "matches"
	case rules.VerdictFailed:
		mark, what = x.red("!"), "can't be evaluated, so it does not fire: "+printable(v.Reason)
	case rules.VerdictNotReached:
		mark, what = x.dim("·"), "is not evaluated: "+printable(v.Reason)
	}
	fmt.Fprintf(b, "%s %s %s  %s\n", mark, x.bold(v.Rule), what, x.dim(fmt.Sprintf("%s:%d", v.File, v.Line)))
	if v.Explanation.If.Text != "" {
		x.part(b, v.Explanation.If, "    ", !allDecided(v.Explanation.If))
	}
	if len(v.Explanation.Requested) > 0 {
		fmt.Fprintf(b, "    requested of GitLab: %s\n", strings.Join(v.Explanation.Requested, ", "))
	}
	if v.Result == rules.VerdictMatched && len(v.Decisions) == 0 && !v.Stops {
		b.WriteString("  → no job to act on\n")
	}
	for _, d := range v.Decisions {
		fmt.Fprintf(b, "  → %s\n", printable(wanted(d)))
		for _, s := range d.States {
			fmt.Fprintf(b, "  → its state %s is %t\n", printable(s.If), s.Value)
		}
	}
	for _, n := range v.Notify {
		to := n.Channel
		if n.Receiver == event.ReceiverGitLab {
			to = event.Address{Receiver: n.Receiver, Channel: n.Channel}.String()
		}
		if n.State != "" {
			fmt.Fprintf(b, "  → notifies %s when the state %s turns true, and when it turns false again\n", printable(to), printable(n.State))
			continue
		}
		fmt.Fprintf(b, "  → notifies %s when %s\n", printable(to), strings.Join(n.When, ", "))
	}
	if v.Stops {
		b.WriteString("  → stops: the rules after it are not evaluated\n")
	}
}

// allDecided reports whether no part could be taken away.
func allDecided(p event.Part) bool {
	return p.Decided && !slices.ContainsFunc(p.Parts, func(part event.Part) bool { return !allDecided(part) })
}

// part prints a part with the values that it read; point marks the decisive ones.
func (x explanation) part(b *strings.Builder, p event.Part, indent string, point bool) {
	mark := map[string]string{
		event.PartTrue: x.green("✓"), event.PartFalse: x.red("✗"), event.PartError: x.red("!"), event.PartNotReached: x.dim("·"),
	}[p.Result]
	text := map[string]string{"and": "all of", "or": "one of", "not": "not"}[p.Operator]
	text = cmp.Or(text, p.Text)
	switch {
	case p.Result == event.PartNotReached:
		text = x.dim(text + "  (not reached)")
	case p.Decided && p.Operator == "" && point:
		text = x.bold(text) + "  ← decides"
	}
	fmt.Fprintf(b, "%s%s %s", indent, mark, text)
	if p.Error != "" {
		fmt.Fprintf(b, "  %s", x.red(printable(p.Error)))
	}
	b.WriteString("\n")
	for _, seen := range p.Seen {
		fmt.Fprintf(b, "%s    %s is %s\n", indent, x.dim(seen.Text), printable(seen.Value))
	}
	if p.Result == event.PartNotReached {
		return
	}
	for _, part := range p.Parts {
		x.part(b, part, indent+"  ", point)
	}
}

// wanted describes what a decision wants done.
func wanted(d event.Decision) string {
	switch {
	case d.Action.Verb == event.VerbNotify && len(d.States) > 0:
		return "sets its state"
	case d.Action.Verb == event.VerbNotify:
		return "notifies that it matched"
	}
	s := words.Action(&d)
	if d.Missing {
		return s + ": the pipeline has no job of this name"
	}
	if d.Action.Verb == event.VerbRetry {
		s += ", at most " + english.Plural(d.Action.MaxAttempts, "attempt", "")
	}
	if wait := d.Action.Pause(d.Job.Attempt); wait > 0 {
		s += fmt.Sprintf(", after %s", wait)
	}
	switch {
	case d.AfterSuccess != "":
		s += fmt.Sprintf(", once %s has passed", d.AfterSuccess)
	case len(d.After) > 0:
		s += ", after the action before it"
	}
	if d.Action.Confirm != "" {
		s += fmt.Sprintf(", once somebody has confirmed it in %s within %s", confirm.Place(d), d.Action.ConfirmWithin)
	}
	if d.DryRun {
		s += " (dry run)"
	}
	return s
}
