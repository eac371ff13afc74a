package hooks

import (
	"context"
	"maps"
	"net/url"
	"slices"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Survey sums up the webhooks of many projects: those with the same trouble are
// together. It is for one goroutine.
type Survey struct {
	inspector *Inspector

	Good      int // projects whose events are delivered
	Troubles  map[Trouble][]event.Project
	Addresses map[string]*url.URL // of the webhooks that are ours, by their text without secrets

	covered map[string][]event.Project // by the webhook of a group
}

// Trouble is what is wrong with the webhooks of some projects.
type Trouble struct {
	Verdict Verdict
	Group   string // whose webhook it is; "": the projects' own
	Seen    string // what is wrong, in words
	// Elsewhere is set if none is ours, and one posts to such a service at another address.
	Elsewhere bool
	// AboveHidden is set if none is seen, and a group may have one.
	AboveHidden bool
}

// NewSurvey returns a Survey that reads by an Inspector.
func NewSurvey(i *Inspector) *Survey {
	return &Survey{inspector: i, Troubles: map[Trouble][]event.Project{}, Addresses: map[string]*url.URL{}, covered: map[string][]event.Project{}}
}

// Add adds projects with a trouble that is known without a look at their webhooks.
func (s *Survey) Add(t Trouble, projects ...event.Project) {
	s.Troubles[t] = append(s.Troubles[t], projects...)
}

// Project reads the webhooks of a project. Errors are those of Inspector.Project.
func (s *Survey) Project(ctx context.Context, p event.Project) error {
	plan, err := s.inspector.Project(ctx, p)
	if err != nil {
		return err
	}
	s.keep(plan.Ours, plan.Above)
	if plan.verdict() == Covered {
		s.covered[plan.Above.Group] = append(s.covered[plan.Above.Group], p)
		return nil
	}
	s.sort(plan, Trouble{Elsewhere: plan.Ours == nil && len(plan.Elsewhere) > 0, AboveHidden: plan.Ours == nil && plan.AboveHidden}, p)
	return nil
}

// Groups reads the webhooks of groups that send the events of the projects. An error is
// one of Inspector.Group, with the projects about which nothing is known.
func (s *Survey) Groups(ctx context.Context) (left []event.Project, err error) {
	for _, group := range slices.Sorted(maps.Keys(s.covered)) {
		if err == nil {
			var plan Plan
			if plan, err = s.inspector.Group(ctx, group); err == nil {
				s.sort(plan, Trouble{Group: group}, s.covered[group]...)
				continue
			}
		}
		left = append(left, s.covered[group]...)
	}
	return left, err
}

// sort adds projects by what a plan says.
func (s *Survey) sort(plan Plan, t Trouble, projects ...event.Project) {
	if t.Verdict, t.Seen = plan.verdict(), plan.trouble(); t.Seen == "" {
		s.Good += len(projects)
		return
	}
	s.Add(t, projects...)
}

// keep keeps the addresses of webhooks.
func (s *Survey) keep(of ...*gitlab.Hook) {
	for _, h := range of {
		if h == nil {
			continue
		}
		if u, err := url.Parse(h.URL); err == nil {
			s.Addresses[redact.URL(h.URL)] = u
		}
	}
}
