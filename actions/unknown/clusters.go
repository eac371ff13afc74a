package unknown

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/cluster"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// maxClusters is how many groups there are: those with the newest failures.
	maxClusters = 500
	// maxJobs is how many jobs of a group are listed, and maxNames how many of their names,
	// projects and runners each.
	maxJobs  = 5
	maxNames = 5
)

// Cluster is a group of failed jobs that no class covers, whose logs say the same.
type Cluster struct {
	ID      string    `json:"id"`
	Text    string    `json:"text"`    // what their lines have in common, with masks for what differs
	Example string    `json:"example"` // the line of the newest job
	Pattern string    `json:"pattern"` // a regular expression for a log that matches them all
	Failed  int       `json:"failed"`  // jobs
	First   time.Time `json:"first"`   // when the first of them failed
	Last    time.Time `json:"last"`
	Retried int       `json:"retried"` // jobs that Pipesteward retried, and whose new run has ended
	Passed  int       `json:"passed"`  // of these new runs
	Reasons []string  `json:"reasons"` // failure reasons
	Jobs    []Job     `json:"jobs"`    // the newest
	// Names, Projects and Runners are those of the jobs, at most five of each.
	Names    []string `json:"names"`
	Projects []string `json:"projects"`
	Runners  []string `json:"runners"`
}

// Job is a failed job.
type Job struct {
	ID   int64  `json:"id"`
	URL  string `json:"url"`
	Line string `json:"line"`
}

// Query selects clusters; "" and zero stand for any.
type Query struct {
	Project string    // a glob of paths, or an id
	Since   time.Time // failures before are not counted
	ID      string    // of a cluster, or that it had when one of its jobs was the first
}

// Clusters returns the groups of the failed jobs that a query selects, the one with the most
// jobs first.
func (l *Log) Clusters(ctx context.Context, q Query) ([]Cluster, error) {
	entries, err := l.entries(ctx, keys.Unclassified)
	if err != nil {
		return nil, err
	}
	words, err := l.wordsOf(ctx, entries)
	if err != nil {
		return nil, err
	}
	passed := map[int64]bool{} // whether the retry of a job did
	for _, e := range entries {
		if e.Line == "" {
			passed[e.Job] = e.Passed
		}
	}
	tree, groups := cluster.New(maxClusters), map[*cluster.Group]*gathered{}
	for _, e := range slices.Backward(entries) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if e.Line == "" || !q.selects(e) {
			continue
		}
		group := tree.Add(words[e.Line])
		if group == nil {
			continue
		}
		g := groups[group]
		if g == nil {
			g = newGathered()
			groups[group] = g
		}
		g.add(e, cluster.ID(words[e.Line]))
		if did, ended := passed[e.Job]; ended {
			g.Retried++
			if did {
				g.Passed++
			}
		}
	}
	clusters := []Cluster{}
	for _, group := range tree.Groups() {
		if g := groups[group]; q.ID == "" || g.ids[q.ID] {
			clusters = append(clusters, g.cluster(group))
		}
	}
	slices.SortStableFunc(clusters, func(a, b Cluster) int { return b.Failed - a.Failed })
	return clusters, nil
}

// wordsOf returns the words of the lines of the entries. They are what costs the most, and so
// they are kept until the next call: each line is masked once.
func (l *Log) wordsOf(ctx context.Context, entries []entry) (map[string][]string, error) {
	l.mu.Lock()
	known := l.words
	l.mu.Unlock()
	all := make(map[string][]string, len(known))
	for _, e := range entries {
		if _, done := all[e.Line]; done {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		words, ok := known[e.Line]
		if !ok {
			words = cluster.Words(e.Line)
		}
		all[e.Line] = words
	}
	l.mu.Lock()
	l.words = all
	l.mu.Unlock()
	return all, nil
}

// CountNotRead returns how many failed jobs that a query selects had a log that was not read, of
// the 10,000 newest.
func (l *Log) CountNotRead(ctx context.Context, q Query) (n int, err error) {
	entries, err := l.entries(ctx, keys.NotRead)
	for _, e := range entries {
		if q.selects(e) {
			n++
		}
	}
	return n, err
}

// selects reports whether the query selects the entry, if it may be in any cluster.
func (q Query) selects(e entry) bool { return !e.At.Before(q.Since) && e.isOf(q.Project) }

// isOf reports whether the job is of a project: "" is any, else a glob of paths or an id.
func (e entry) isOf(project string) bool {
	return project == "" || event.MatchesProject(project, e.Project) || project == strconv.FormatInt(e.ProjectID, 10)
}

// gathered is a cluster that is being made.
type gathered struct {
	Cluster
	ids                               map[string]bool // of the lines
	names, projects, runners, reasons map[string]bool
}

func newGathered() *gathered {
	return &gathered{ids: map[string]bool{}, names: map[string]bool{}, projects: map[string]bool{}, runners: map[string]bool{}, reasons: map[string]bool{}}
}

// add adds a job, the newest so far; id is that of its line.
func (g *gathered) add(e entry, id string) {
	if g.Failed++; g.Failed == 1 {
		g.ID, g.First, g.Last = id, e.At, e.At
	}
	g.ids[id] = true
	g.Example = e.Line
	if e.At.Before(g.First) {
		g.First = e.At
	}
	if e.At.After(g.Last) {
		g.Last = e.At
	}
	g.Jobs = append([]Job{{e.Job, e.URL, e.Line}}, g.Jobs[:min(len(g.Jobs), maxJobs-1)]...)
	for of, name := range map[*map[string]bool]string{&g.names: e.Name, &g.projects: e.Project, &g.runners: e.Runner, &g.reasons: e.Reason} {
		if name != "" {
			(*of)[name] = true
		}
	}
}

// cluster returns the cluster, whose lines are of the group.
func (g *gathered) cluster(group *cluster.Group) Cluster {
	c := g.Cluster
	c.Text, c.Pattern = group.Text(), group.Pattern()
	c.Names, c.Projects, c.Runners, c.Reasons = some(g.names), some(g.projects), some(g.runners), some(g.reasons)
	return c
}

// some returns the first names of a set, in alphabetical order, and how many more there are.
func some(set map[string]bool) []string {
	names := slices.Sorted(maps.Keys(set))
	if more := len(names) - maxNames; more > 0 {
		return append(names[:maxNames], fmt.Sprintf("and %d more", more))
	}
	return append([]string{}, names...)
}
