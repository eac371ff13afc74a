package webhook

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/rules/event"
)

var (
	// ErrNotJSON says that a body is no JSON text: cut off, or never one.
	ErrNotJSON = errors.New("the body is not JSON")
	// ErrNoInterest says that a body is JSON but neither a Job Hook nor a
	// Pipeline Hook: another kind of hook, or one with a template of its own.
	ErrNoInterest = errors.New("neither a Job Hook nor a Pipeline Hook")
)

// FieldError says which field a hook cannot do without.
type FieldError struct {
	Field string // as GitLab names it, with dots
	Want  string // what was expected there
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("field %q: expected %s", e.Field, e.Want)
}

// Decode makes an event of the body of a Job Hook or Pipeline Hook of any
// GitLab since 2016. Of the event's Meta it sets Kind and Instance; instance
// is the base URL of the GitLab that sent the body ("" if unknown).
//
// Only what names the event must be there: the ids of the project and of the
// job or pipeline. Any other field that is missing, null or of an unexpected
// type is left zero, because what GitLab sends differs between versions.
//
// Errors: ErrNotJSON, ErrNoInterest, *FieldError.
func Decode(body []byte, instance string) (event.Event, error) {
	body = bytes.Clone(body)
	e, err := identify(body)
	if err != nil {
		return event.Event{}, err
	}
	e.Meta.Instance = instance
	return complete(e, body)
}

// identify reads off a body what names the event and its project, and its
// status: enough to refuse it or to know that no rule wants it, in a fraction of
// the time that the whole takes. All of the body was looked at: what complete finds is JSON.
// The event's texts, here and in complete, lie in the body.
func identify(body []byte) (event.Event, error) {
	var h struct {
		ObjectKind  string `json:"object_kind"`
		BuildID     whole  `json:"build_id"`
		BuildStatus string `json:"build_status"`
		Retries     *whole `json:"retries_count"`
		ProjectID   whole  `json:"project_id"`
		Project     struct {
			ID     whole  `json:"id"`
			WebURL string `json:"web_url"`
			Path   string `json:"path_with_namespace"`
		} `json:"project"`
		Repository struct { // where a Job Hook has no project
			Homepage string `json:"homepage"`
		} `json:"repository"`
		Pipeline struct {
			ID     whole  `json:"id"`
			Status string `json:"status"`
		} `json:"object_attributes"`
	}
	if err := unmarshal(body, &h); err != nil {
		return event.Event{}, err
	}
	var e event.Event
	e.Project.ID = int64(cmp.Or(h.ProjectID, h.Project.ID))
	e.Project.URL, e.Project.Path = projectURL(h.Project.WebURL, h.Repository.Homepage), h.Project.Path
	switch h.ObjectKind {
	case "build":
		e.Meta.Kind, e.Job.ID, e.Job.Status = event.KindJob, int64(h.BuildID), h.BuildStatus
		if h.Retries != nil {
			e.Job.Attempt = int(max(*h.Retries, 0)) + 1
		}
		if h.BuildID <= 0 {
			return event.Event{}, &FieldError{"build_id", "the job's id, a whole number from 1"}
		}
		if e.Project.ID <= 0 {
			return event.Event{}, &FieldError{"project_id", "the project's id, a whole number from 1"}
		}
	case "pipeline":
		e.Meta.Kind, e.Pipeline.ID, e.Pipeline.Status = event.KindPipeline, int64(h.Pipeline.ID), h.Pipeline.Status
		if h.Pipeline.ID <= 0 {
			return event.Event{}, &FieldError{"object_attributes.id", "the pipeline's id, a whole number from 1"}
		}
		// GitLab 8 to 11 names the project by its path and page only.
		if e.Project.ID < 0 || e.Project.ID == 0 && e.Project.Path == "" && e.Project.URL == "" {
			return event.Event{}, &FieldError{"project.id", "the project's id, a whole number from 1, or its path_with_namespace"}
		}
	default:
		return event.Event{}, ErrNoInterest
	}
	return e, nil
}

// complete reads the rest of the event that was identified in the body.
// Where the body does not name the project's path, the event's instance tells.
func complete(e event.Event, body []byte) (event.Event, error) {
	h := hooks.Get().(*hook)
	defer h.release()
	if err := unmarshal(body, h); err != nil {
		return event.Event{}, err
	}
	e.Project = h.project(e.Project.ID, e.Meta.Instance)
	e.User = event.User{ID: int64(h.User.ID), Username: h.User.Username, Name: h.User.Name, Email: h.User.Email}
	if e.Meta.Kind == event.KindJob {
		h.completeJob(&e)
	} else {
		h.completePipeline(&e)
	}
	return e, nil
}

// unmarshal reads what JSON there is into h, whose texts lie in the body then:
// that takes half of the time and a tenth of the allocations. A value of the
// wrong type leaves its field zero and is no error: decoding went on behind it.
func unmarshal(body []byte, h any) error {
	err := json.UnmarshalWithOption(body, h, json.DecodeNoCopyString())
	if wrongType := (*json.UnmarshalTypeError)(nil); err == nil || errors.As(err, &wrongType) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotJSON, err)
}

// hook is what complete reads off a body. Most keys are of one kind of hook
// only; but for commit.id, none means two things.
type hook struct {
	User           hookUser         `json:"user"`
	Project        hookProject      `json:"project"`    // Job Hook: new versions
	Repository     hookProject      `json:"repository"` // Job Hook
	Commit         hookCommit       `json:"commit"`
	SourcePipeline hookSource       `json:"source_pipeline"`
	Environment    hookEnv          `json:"environment"`
	Runner         hookRunner       `json:"runner"`
	ProjectName    string           `json:"project_name"` // for people: "Group / Project"
	PipelineID     whole            `json:"pipeline_id"`
	Ref            string           `json:"ref"`
	Tag            bool             `json:"tag"`
	SHA            string           `json:"sha"`
	RetriesCount   whole            `json:"retries_count"`
	BuildName      string           `json:"build_name"`
	BuildStage     string           `json:"build_stage"`
	AllowFailure   bool             `json:"build_allow_failure"`
	FailureReason  string           `json:"build_failure_reason"`
	Duration       seconds          `json:"build_duration"`
	QueuedDuration seconds          `json:"build_queued_duration"`
	CreatedAt      date             `json:"build_created_at"`
	StartedAt      date             `json:"build_started_at"`
	FinishedAt     date             `json:"build_finished_at"`
	CreatedAtISO   date             `json:"build_created_at_iso"`
	StartedAtISO   date             `json:"build_started_at_iso"`
	FinishedAtISO  date             `json:"build_finished_at_iso"`
	Pipeline       hookPipeline     `json:"object_attributes"`
	MergeRequest   hookMergeRequest `json:"merge_request"`
	Builds         []hookBuild      `json:"builds"`
}

// hooks are kept for the next body: a long list of builds grows but once.
var hooks = sync.Pool{New: func() any { return new(hook) }}

// maxKept is the longest list of builds that is kept.
const maxKept = 64

// release gives a hook back, empty. What the event took of it, it took by
// value, or it was made for this hook.
func (h *hook) release() {
	builds := h.Builds[:0]
	if cap(builds) > maxKept {
		builds = nil
	}
	clear(builds[:cap(builds)])
	*h = hook{Builds: builds}
	hooks.Put(h)
}

type hookUser struct {
	ID       whole  `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

type hookMergeRequest struct {
	IID          whole  `json:"iid"`
	Title        string `json:"title"`
	State        string `json:"state"`
	SourceBranch string `json:"source_branch"`
	TargetBranch string `json:"target_branch"`
	URL          string `json:"url"`
}

func (m hookMergeRequest) mergeRequest() event.MergeRequest {
	return event.MergeRequest{IID: int64(m.IID), Title: m.Title, State: m.State, SourceBranch: m.SourceBranch, TargetBranch: m.TargetBranch, URL: m.URL}
}

func (r hookRunner) runner() event.Runner {
	return event.Runner{ID: int64(r.ID), Description: r.Description, Type: r.Type, Shared: r.Shared, Tags: r.Tags}
}

type hookProject struct {
	ID            whole  `json:"id"`
	Name          string `json:"name"`
	Path          string `json:"path_with_namespace"`
	WebURL        string `json:"web_url"`
	Homepage      string `json:"homepage"` // of a repository
	DefaultBranch string `json:"default_branch"`
}

// hookCommit is the commit in a Pipeline Hook. In a Job Hook it is a mixture:
// the pipeline's name, status, duration and end, and the commit's rest.
type hookCommit struct {
	ID            commitID `json:"id"`
	SHA           string   `json:"sha"` // Job Hook
	Title         string   `json:"title"`
	Message       string   `json:"message"`
	URL           string   `json:"url"`
	AuthorName    string   `json:"author_name"`
	AuthorEmail   string   `json:"author_email"`
	Name          string   `json:"name"`
	Status        string   `json:"status"`
	Duration      seconds  `json:"duration"`
	FinishedAt    date     `json:"finished_at"`
	FinishedAtISO date     `json:"finished_at_iso"`
	Author        struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"author"`
}

// shaLength tells a SHA of digits alone from an id in quotes.
const shaLength = 40

// commitID is the commit's SHA in a Pipeline Hook, and in a Job Hook the id of
// the pipeline, which the oldest have nowhere else.
type commitID struct {
	sha      string
	pipeline int64
}

var _ json.Unmarshaler = (*commitID)(nil)

func (c *commitID) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &c.sha); err != nil || len(c.sha) >= shaLength || wholeNumber(raw) == 0 {
			return err
		}
		c.sha = ""
	}
	c.pipeline = wholeNumber(raw)
	return nil // what is neither counts as unknown
}

type hookSource struct {
	Project    hookProject `json:"project"`
	PipelineID whole       `json:"pipeline_id"`
	JobID      whole       `json:"job_id"`
}

type hookRunner struct {
	ID          whole    `json:"id"`
	Description string   `json:"description"`
	Type        string   `json:"runner_type"`
	Shared      bool     `json:"is_shared"`
	Tags        []string `json:"tags"`
}

type hookEnv struct {
	Name   string `json:"name"`
	Action string `json:"action"`
	Tier   string `json:"deployment_tier"`
}

type hookPipeline struct {
	IID            whole    `json:"iid"`
	Name           string   `json:"name"`
	Ref            string   `json:"ref"`
	Tag            bool     `json:"tag"`
	SHA            string   `json:"sha"`
	Source         string   `json:"source"`
	Stages         []string `json:"stages"`
	CreatedAt      date     `json:"created_at"`
	FinishedAt     date     `json:"finished_at"`
	Duration       seconds  `json:"duration"`
	QueuedDuration seconds  `json:"queued_duration"`
	ProtectedRef   bool     `json:"protected_ref"`
	URL            string   `json:"url"`
	Variables      []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"variables"`
}

type hookBuild struct {
	ID             whole      `json:"id"`
	Stage          string     `json:"stage"`
	Name           string     `json:"name"`
	Status         string     `json:"status"`
	FailureReason  string     `json:"failure_reason"`
	AllowFailure   bool       `json:"allow_failure"`
	Manual         bool       `json:"manual"`
	CreatedAt      date       `json:"created_at"`
	StartedAt      date       `json:"started_at"`
	FinishedAt     date       `json:"finished_at"`
	Duration       seconds    `json:"duration"`
	QueuedDuration seconds    `json:"queued_duration"`
	Runner         hookRunner `json:"runner"`
	Environment    hookEnv    `json:"environment"`
}

func (h *hook) completeJob(e *event.Event) {
	pipelineID := cmp.Or(int64(h.PipelineID), h.Commit.ID.pipeline)
	e.Pipeline = event.Pipeline{
		ID:         pipelineID,
		Ref:        h.Ref,
		Tag:        h.Tag,
		SHA:        h.SHA,
		Status:     h.Commit.Status,
		Name:       h.Commit.Name,
		URL:        page(e.Project.URL, "pipelines", pipelineID),
		FinishedAt: first(h.Commit.FinishedAtISO, h.Commit.FinishedAt),
		Duration:   float64(h.Commit.Duration),
		Upstream:   h.upstream(),
	}
	reason := reasonOf(e.Job.Status, h.FailureReason)
	e.Job = event.Job{
		ID:             e.Job.ID,
		Name:           h.BuildName,
		Stage:          h.BuildStage,
		Status:         e.Job.Status,
		FailureReason:  reason,
		FailureClass:   event.ClassOf(reason),
		AllowFailure:   h.AllowFailure,
		Attempt:        1 + max(0, int(h.RetriesCount)),
		Ref:            h.Ref,
		Tag:            h.Tag,
		URL:            page(e.Project.URL, "jobs", e.Job.ID),
		CreatedAt:      first(h.CreatedAtISO, h.CreatedAt),
		StartedAt:      first(h.StartedAtISO, h.StartedAt),
		FinishedAt:     first(h.FinishedAtISO, h.FinishedAt),
		Duration:       float64(h.Duration),
		QueuedDuration: float64(h.QueuedDuration),
		Runner:         h.Runner.runner(),
		Environment:    event.Environment(h.Environment),
	}
	e.Commit = h.commit(h.SHA, e.Project.URL)
}

func (h *hook) completePipeline(e *event.Event) {
	a := &h.Pipeline
	e.Pipeline = event.Pipeline{
		ID:             e.Pipeline.ID,
		IID:            int64(a.IID),
		Ref:            a.Ref,
		Tag:            a.Tag,
		SHA:            a.SHA,
		Status:         e.Pipeline.Status,
		Source:         a.Source,
		Name:           a.Name,
		URL:            cmp.Or(a.URL, page(e.Project.URL, "pipelines", e.Pipeline.ID)),
		CreatedAt:      a.CreatedAt.time(),
		FinishedAt:     a.FinishedAt.time(),
		Duration:       float64(a.Duration),
		QueuedDuration: float64(a.QueuedDuration),
		Variables:      h.variables(),
		Stages:         a.Stages,
		ProtectedRef:   a.ProtectedRef,
		Jobs:           h.jobs(e.Project.URL),
		Upstream:       h.upstream(),
	}
	e.Commit = h.commit(a.SHA, e.Project.URL)
	e.MergeRequest = h.MergeRequest.mergeRequest()
}

func (h *hook) variables() map[string]string {
	if len(h.Pipeline.Variables) == 0 {
		return nil
	}
	variables := make(map[string]string, len(h.Pipeline.Variables))
	for _, v := range h.Pipeline.Variables {
		if v.Key != "" {
			variables[v.Key] = v.Value
		}
	}
	return variables
}

// jobs gives the jobs of a Pipeline Hook, which leaves out what they share
// with the pipeline, and which attempt they are.
func (h *hook) jobs(projectURL string) []event.Job {
	if len(h.Builds) == 0 {
		return nil
	}
	jobs := make([]event.Job, 0, len(h.Builds))
	for i := range h.Builds {
		b := &h.Builds[i]
		if b.ID <= 0 {
			continue // names no job that one could act on
		}
		reason := reasonOf(b.Status, b.FailureReason)
		jobs = append(jobs, event.Job{
			ID:             int64(b.ID),
			Name:           b.Name,
			Stage:          b.Stage,
			Status:         b.Status,
			FailureReason:  reason,
			FailureClass:   event.ClassOf(reason),
			AllowFailure:   b.AllowFailure,
			Manual:         b.Manual,
			Attempt:        1,
			Ref:            h.Pipeline.Ref,
			Tag:            h.Pipeline.Tag,
			URL:            page(projectURL, "jobs", int64(b.ID)),
			CreatedAt:      b.CreatedAt.time(),
			StartedAt:      b.StartedAt.time(),
			FinishedAt:     b.FinishedAt.time(),
			Duration:       float64(b.Duration),
			QueuedDuration: float64(b.QueuedDuration),
			Runner:         b.Runner.runner(),
			Environment:    event.Environment(b.Environment),
		})
	}
	return jobs
}

// project gathers the project. Old Job Hooks have no "project": its name and
// address are the repository's there, and the path is in the address.
func (h *hook) project(id int64, instance string) event.Project {
	p := event.Project{
		ID:            id,
		Path:          h.Project.Path,
		Name:          cmp.Or(h.Project.Name, h.Repository.Name, h.ProjectName),
		URL:           projectURL(h.Project.WebURL, h.Repository.Homepage),
		DefaultBranch: h.Project.DefaultBranch,
	}
	if p.Path == "" {
		p.Path = pathOf(p.URL, instance)
	}
	if i := strings.LastIndexByte(p.Path, '/'); i >= 0 {
		p.Namespace = p.Path[:i]
	}
	return p
}

func (h *hook) upstream() event.Upstream {
	return event.Upstream{
		ProjectID:   int64(h.SourcePipeline.Project.ID),
		ProjectPath: h.SourcePipeline.Project.Path,
		PipelineID:  int64(h.SourcePipeline.PipelineID),
		JobID:       int64(h.SourcePipeline.JobID),
	}
}

func (h *hook) commit(sha, projectURL string) event.Commit {
	c := event.Commit{
		SHA:         cmp.Or(h.Commit.SHA, h.Commit.ID.sha, sha),
		Title:       h.Commit.Title,
		Message:     h.Commit.Message,
		AuthorName:  cmp.Or(h.Commit.AuthorName, h.Commit.Author.Name),
		AuthorEmail: cmp.Or(h.Commit.AuthorEmail, h.Commit.Author.Email),
		URL:         h.Commit.URL,
	}
	if c.Title == "" {
		c.Title, _, _ = strings.Cut(c.Message, "\n")
		c.Title = strings.TrimRight(c.Title, "\r")
	}
	if c.URL == "" && c.SHA != "" && projectURL != "" {
		c.URL = projectURL + "/-/commit/" + c.SHA
	}
	return c
}

// reasonOf drops the failure reason of a job that did not fail: GitLab sends
// "unknown_failure" with successful jobs too.
func reasonOf(status, reason string) string {
	if status != "failed" {
		return ""
	}
	return reason
}

// page gives the address of a page of a project, "" where it can't be known.
func page(projectURL, what string, id int64) string {
	if projectURL == "" || id <= 0 {
		return ""
	}
	return projectURL + "/-/" + what + "/" + strconv.FormatInt(id, 10)
}

// projectURL gives a project's page: that of the project, or that of its
// repository in a Job Hook that has no project.
func projectURL(webURL, homepage string) string {
	return strings.TrimRight(cmp.Or(webURL, homepage), "/")
}

// pathOf takes a project's path off its page: the URL's path without that of
// the instance, which may be known under another host.
func pathOf(projectURL, instance string) string {
	page, err := url.Parse(projectURL)
	if err != nil {
		return ""
	}
	path := strings.Trim(page.Path, "/")
	if base, err := url.Parse(instance); err == nil && strings.Trim(base.Path, "/") != "" {
		path = strings.TrimPrefix(path, strings.Trim(base.Path, "/")+"/")
	}
	return path
}

// whole is a whole number as hooks have it: 7, "7" or 7.0. What is none, like
// 7.5, counts as unknown.
type whole int64

var _ json.Unmarshaler = (*whole)(nil)

func (w *whole) UnmarshalJSON(raw []byte) error {
	*w = whole(wholeNumber(raw))
	return nil
}

// exact is up to where a float64 tells whole numbers apart.
const exact = 1 << 53

// wholeNumber reads a whole number; 0: it is none.
func wholeNumber(raw []byte) int64 {
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0
	}
	return int64(f)
}

// seconds is a duration as hooks have it: a number, null or a quoted number.
type seconds float64

var _ json.Unmarshaler = (*seconds)(nil)

func (s *seconds) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		*s = seconds(f)
	}
	return nil // what is no duration counts as unknown
}

// date is a time as hooks have it.
type date string

// dateLayouts are the forms that dates have in hooks. All of them also read
// fractions of a second.
var dateLayouts = []string{
	time.RFC3339, // Z or an offset with a colon
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04:05Z0700",
}

// time gives the time in UTC; zero for null and for what is no date.
func (d date) time() time.Time {
	text := string(d)
	if text == "" {
		return time.Time{}
	}
	// Most dates are like "2021-02-23 02:41:37 UTC": as RFC 3339 they are read
	// in a third of the time.
	if day, clock, ok := strings.Cut(text, " "); ok && len(text) == len(dateLayouts[1]) && strings.HasSuffix(clock, " UTC") {
		text = day + "T" + strings.TrimSuffix(clock, " UTC") + "Z"
	}
	for _, layout := range dateLayouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		// Other years can't be written as JSON again.
		if t = t.UTC(); 1 <= t.Year() && t.Year() <= 9999 {
			return t
		}
		return time.Time{}
	}
	return time.Time{} // what is no date counts as unknown
}

// first gives the first time that is set.
func first(dates ...date) time.Time {
	for _, d := range dates {
		if t := d.time(); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
