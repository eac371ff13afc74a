// Package projects resolves the entries of `projects` in rule files and settings to
// projects of GitLab.
package projects

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Resolve returns the projects that entries name: ids, paths, globs of paths, and
// groups with their subgroups. Each project comes once, sorted by id. An entry
// without a project is a problem with its reason; an error is transient, or ctx's.
func Resolve(ctx context.Context, gl *gitlab.Client, entries []string) ([]gitlab.Project, []event.SweepProblem, error) {
	found := map[int64]gitlab.Project{}
	var problems []event.SweepProblem
	for _, entry := range entries {
		n := 0
		for p, err := range list(ctx, gl, entry) {
			switch {
			case err == nil && p.Archived:
				err = errors.New("the project is archived: GitLab changes nothing in it")
			case err == nil:
				found[p.ID], n = p, n+1
				continue
			case ctx.Err() != nil || event.Transient(err):
				return nil, nil, err
			case apierror.IsHidden(err):
				err = errors.New("there is no such project or group, or the token's user may not see it")
			}
			problems = append(problems, event.SweepProblem{Project: entry, Reason: err.Error(), Times: 1})
			n++
		}
		if n == 0 {
			problems = append(problems, event.SweepProblem{Project: entry, Reason: "no project fits, of those that the token's user is a member of", Times: 1})
		}
	}
	sorted := slices.SortedFunc(maps.Values(found), func(a, b gitlab.Project) int { return cmp.Compare(a.ID, b.ID) })
	return sorted, problems, nil
}

// Finder looks for projects of GitLab.
type Finder struct{ GitLab *gitlab.Client }

// HasProject reports whether the token's user sees a project whose path is the text, or
// matches it as a glob. An error is GitLab's, or ctx's.
func (f Finder) HasProject(ctx context.Context, glob string) (bool, error) {
	all := globbed(ctx, f.GitLab, glob)
	if !rules.IsGlob(glob) {
		all = one(f.GitLab.Project(ctx, glob))
	}
	for p, err := range all {
		switch {
		case apierror.IsHidden(err):
		case err != nil:
			return false, err
		case event.MatchesProject(glob, p.Path): // and not only by an id or an earlier path
			return true, nil
		}
	}
	return false, nil
}

// list lists the projects of one entry.
func list(ctx context.Context, gl *gitlab.Client, entry string) iter.Seq2[gitlab.Project, error] {
	if _, isID := rules.ProjectID(entry); isID {
		return one(gl.Project(ctx, entry))
	}
	if rules.IsGlob(entry) {
		return globbed(ctx, gl, entry)
	}
	group := gl.GroupProjects(ctx, entry)
	if !strings.Contains(entry, "/") {
		return group // every project is in a namespace
	}
	p, err := gl.Project(ctx, entry)
	if apierror.IsNotFound(err) {
		return group
	}
	return one(p, err)
}

func one(p gitlab.Project, err error) iter.Seq2[gitlab.Project, error] {
	return func(yield func(gitlab.Project, error) bool) { yield(p, err) }
}

// globbed lists the projects whose path matches: those of the group that the pattern
// begins with, or, where there is no such group, those of the token's user.
func globbed(ctx context.Context, gl *gitlab.Client, pattern string) iter.Seq2[gitlab.Project, error] {
	return func(yield func(gitlab.Project, error) bool) {
		matching := func(all iter.Seq2[gitlab.Project, error], first bool) (again bool) {
			for p, err := range all {
				if first && apierror.IsNotFound(err) {
					return true
				}
				if (err != nil || event.MatchesProject(pattern, p.Path)) && !yield(p, err) {
					return false
				}
			}
			return false
		}
		group, _ := doublestar.SplitPattern(pattern)
		if group == "." || matching(gl.GroupProjects(ctx, group), true) {
			matching(gl.Projects(ctx), false)
		}
	}
}
