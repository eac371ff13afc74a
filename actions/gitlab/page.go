package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Page is a job or a pipeline that a page of GitLab shows.
type Page struct {
	Project  string // its full path
	Job      int64  // 0: the page is a pipeline's
	Pipeline int64  // 0: the page is a job's
}

// String names the page's object.
func (p Page) String() string {
	if p.Job != 0 {
		return fmt.Sprintf("job %d of %s", p.Job, p.Project)
	}
	return fmt.Sprintf("pipeline %d of %s", p.Pipeline, p.Project)
}

// Path returns the path of the page below the base URL.
func (p Page) Path() string {
	if p.Job != 0 {
		return fmt.Sprintf("%s/-/jobs/%d", p.Project, p.Job)
	}
	return fmt.Sprintf("%s/-/pipelines/%d", p.Project, p.Pipeline)
}

// NotShown says that GitLab does not show the page's object, because of its answer err.
func (p Page) NotShown(err error) string {
	return fmt.Sprintf("GitLab does not show %s to the user of the token (%s): it does not exist, was deleted, or the user is no member of the project", p, apierror.Words(err))
}

// NotShownError is the error for a page whose object GitLab does not show.
type NotShownError struct{ reason string }

func (e *NotShownError) Error() string { return e.reason }

// NotOf says that the page's object belongs to another project, as Pipesteward has
// recorded it.
func (p Page) NotOf(project string) string {
	there := p
	there.Project = project
	return fmt.Sprintf("there is no %s: it belongs to %s, as recorded; give the address of %s", p, project, there)
}

// PageError says why a text is not the address of a job or a pipeline of the instance.
type PageError struct {
	Shown     string // the text, without what is secret in it
	Elsewhere bool   // it is an address of another GitLab
	reason    string
}

func (e *PageError) Error() string { return e.reason }

// Missing says that it is the address that is wrong.
func (*PageError) Missing() bool { return false }

func noPage(address, format string, args ...any) error {
	return &PageError{Shown: redact.URL(address), reason: fmt.Sprintf(format, args...)}
}

const wantPage = "give the address of a job's or a pipeline's page, such as https://gitlab.example.com/group/project/-/jobs/123 or …/-/pipelines/456"

// ofPage matches the path of a page below the base URL. Before GitLab 12 there was
// no "/-", and before 9 a job was called a build. What follows the id is a part of the
// same page: /raw, /artifacts/browse, /failures.
var ofPage = regexp.MustCompile(`^/(.+?)(?:/-)?/(jobs|builds|pipelines)/([0-9]+)(?:/.*)?$`)

// ParsePage returns the object of a page of the instance, which may be under any of
// its addresses. Query and fragment are ignored. It requests GitLab's own address if
// that is not known yet and the page has another one. Its errors are a *PageError.
func (c *Client) ParsePage(ctx context.Context, address string) (Page, error) {
	address = strings.TrimSpace(address)
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return Page{}, noPage(address, "%q is no address: %s", redact.URL(address), wantPage)
	}
	u.User = nil
	shown := redact.URL(address)
	page, ok := parseAddress(u.String())
	if !ok {
		return Page{}, noPage(address, "%q is no http(s) address: %s", shown, wantPage)
	}
	base, ok := c.baseOf(page)
	if _, certain := c.addresses.known(); !ok && !certain {
		if err := c.LearnAddress(ctx); err == nil {
			base, ok = c.baseOf(page)
		}
	}
	if !ok {
		return Page{}, &PageError{page.origin, true, fmt.Sprintf("%s is a page of another GitLab than %s: ask the Pipesteward of that GitLab, or, if it is another address of the same one, name it with --gitlab-alias", page.origin, c.instance)}
	}
	found := ofPage.FindStringSubmatch(strings.TrimPrefix(page.path, base.path))
	if found == nil {
		return Page{}, noPage(address, "%s is no page of a job or a pipeline: %s", shown, wantPage)
	}
	p := Page{Project: found[1]}
	id, err := strconv.ParseInt(found[3], 10, 64)
	if err != nil || id < 1 {
		return Page{}, noPage(address, "%s: %s is no id: %s", shown, found[3], wantPage)
	}
	if found[2] == "pipelines" {
		p.Pipeline = id
	} else {
		p.Job = id
	}
	return p, nil
}

// baseOf returns the longest known base URL that contains the page.
func (c *Client) baseOf(page address) (base address, ok bool) {
	all, _ := c.addresses.known()
	for _, known := range all {
		if known.contains(page) && (!ok || len(known.path) > len(base.path)) {
			base, ok = known, true
		}
	}
	return base, ok
}

// PageEvent reads the object of a page and converts it to the event that a hook of this
// version of GitLab would cause now, see Event and PipelineEvent. What the API does not
// tell is zero: see NotInAPI. If GitLab does not show the object, the error is a
// *NotShownError.
func (c *Client) PageEvent(ctx context.Context, page Page, source string) (event.Event, error) {
	e, err := c.pageEvent(ctx, page, source)
	if apierror.IsHidden(err) {
		return e, &NotShownError{page.NotShown(err) + ofTrigger(page)}
	}
	return e, err
}

// ofTrigger says what GitLab's API hides from everybody.
func ofTrigger(page Page) string {
	if page.Job == 0 {
		return ""
	}
	return "; GitLab shows no trigger job by its id"
}

func (c *Client) pageEvent(ctx context.Context, page Page, source string) (e event.Event, err error) {
	project, err := c.Project(ctx, page.Project)
	if err != nil {
		return e, err
	}
	if page.Pipeline != 0 {
		e, err = c.PipelineEvent(ctx, project.ID, page.Pipeline, source)
		e.Project = project.Project
		return toSeconds(e), err
	}
	job, err := c.Job(ctx, project.ID, page.Job)
	if err != nil {
		return e, err
	}
	pipeline, err := c.Pipeline(ctx, project.ID, job.Pipeline.ID)
	if err != nil {
		return e, err
	}
	runs, err := c.PipelineJobs(ctx, project.ID, job.Pipeline.ID, true)
	if err != nil {
		return e, err
	}
	for _, run := range runs {
		if run.ID == job.ID {
			job.Attempt = run.Attempt
		}
	}
	e = c.Event(job, source)
	e.Project, e.Job.Ref = project.Project, cmp.Or(e.Job.Ref, e.Pipeline.Ref)
	e.Pipeline.Name, e.Pipeline.FinishedAt, e.Pipeline.Duration = pipeline.Name, pipeline.FinishedAt, pipeline.Duration // a job's own lacks these
	version, err := c.Version(ctx)
	if err != nil && !apierror.IsHidden(err) {
		return e, err
	}
	if version.before(16, 2) { // its Job Hooks have no retries_count
		e.Job.Attempt = 1
	}
	if version.before(17, 0) { // nor a project
		e.Project.DefaultBranch = ""
	}
	return toSeconds(e), nil
}

// toSeconds cuts the times of an event to seconds, as hooks have them.
func toSeconds(e event.Event) event.Event {
	cut := func(times ...*time.Time) {
		for _, t := range times {
			*t = t.Truncate(time.Second)
		}
	}
	cut(&e.Pipeline.CreatedAt, &e.Pipeline.FinishedAt, &e.Job.CreatedAt, &e.Job.StartedAt, &e.Job.FinishedAt)
	for i := range e.Pipeline.Jobs {
		j := &e.Pipeline.Jobs[i]
		cut(&j.CreatedAt, &j.StartedAt, &j.FinishedAt)
	}
	return e
}
