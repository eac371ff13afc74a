package answers

import (
	"cmp"
	"context"

	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Doctor makes checks for the admin API.
type Doctor struct{ *doctor.Watch }

var _ admin.Doctor = Doctor{}

// Check implements admin.Doctor.
func (d Doctor) Check(ctx context.Context, all bool, by string) error {
	return d.Last.Start(ctx, by, d.Requested(all))
}

// Checkup implements admin.Doctor.
func (d Doctor) Checkup(ctx context.Context) (admin.Checkup, error) {
	running, last, found, err := stateOf(ctx, d.Last)
	all := admin.Checkup{Running: running, Last: last, Findings: []admin.Finding{}}
	for _, f := range found {
		all.Findings = append(all.Findings, admin.Finding{
			Check: f.Check, Subject: f.Subject, Severity: string(f.Severity), Seen: f.Seen, Advice: f.Advice, Projects: f.Projects, At: f.At,
		})
	}
	return all, err
}

// Hooks reads and repairs webhooks for the admin API.
type Hooks struct {
	hooks.KeeperConfig
	Keeper *hooks.Keeper // nil: none are repaired
}

var _ admin.Hooks = Hooks{}

// errNotEnsured is why a server repairs no webhooks.
var errNotEnsured = &event.StateError{Reason: "this server changes no webhooks: give it --ensure-hooks and --webhook-url, or run `pipesteward hooks ensure`, with --dry-run first"}

// Read implements admin.Hooks.
func (h Hooks) Read(ctx context.Context, ensure bool, by string) error {
	switch {
	case !ensure:
		return h.Listed.Start(ctx, by, h.Look())
	case h.Keeper == nil:
		return errNotEnsured
	}
	return h.Listed.Start(ctx, by, h.Keeper.Ensure())
}

// Hooks implements admin.Hooks.
func (h Hooks) Hooks(ctx context.Context) (admin.HooksPage, error) {
	running, last, found, err := stateOf(ctx, h.Listed)
	page := admin.HooksPage{Running: running, Last: last, Ensured: found.Ensured, Ensures: h.Keeper != nil, More: found.More, Notes: found.Notes, Webhooks: []admin.Webhook{}}
	for _, r := range found.Reports {
		w := admin.Webhook{Owner: r.Owner, Kind: r.Kind, Verdict: string(r.Verdict), Wrong: r.IsWrong(), Findings: r.Findings, Todo: r.Todo, Done: r.Done, Held: r.Held, Error: r.Error}
		if r.Webhook != nil {
			w.Hook = new(admin.Hook(*r.Webhook))
		}
		page.Webhooks = append(page.Webhooks, w)
	}
	for _, p := range found.Problems {
		page.Problems = append(page.Problems, cmp.Or(p.Project, "projects")+": "+p.Reason)
	}
	return page, err
}

// stateOf reads how a task is: the run that is under way, and the last one with what it found.
func stateOf[T any](ctx context.Context, task *background.Task[T]) (running *admin.Running, ended *admin.Ended, found T, err error) {
	last, ok, err := task.Last(ctx)
	if err != nil {
		return nil, nil, found, err
	}
	if ok {
		ended = &admin.Ended{Began: last.Began, Ended: last.Ended, By: last.By, Error: last.Error}
	}
	underWay, err := task.Running(ctx)
	if underWay != nil {
		running = new(admin.Running(*underWay))
	}
	return running, ended, last.Found, err
}
