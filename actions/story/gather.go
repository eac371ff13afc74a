package story

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// maxRequests is how many requests to GitLab one story may cost, besides those of
	// the rules' conditions; gitlabTimeout, how long they may take.
	maxRequests   = 12
	gitlabTimeout = 8 * time.Second
	// storeTimeout bounds what is read of the store.
	storeTimeout = 5 * time.Second
	// maxDead is how many buried records are searched.
	maxDead = 500
	// maxEvaluations is how many events of a pipeline a story has.
	maxEvaluations = 50
	// maxDeliveries is how many deliveries a story has at most, and as many refused ones.
	maxDeliveries = 100
	// clockSkew is how far apart the clocks of GitLab and Pipesteward may be.
	clockSkew = 10 * time.Minute
)

// Store is the part of the store that a story reads.
type Store interface {
	Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error)
	Dead(ctx context.Context, cursor string, n int) (dead []store.DeadRecord, next string, err error)
	Queued(ctx context.Context, ids ...string) (bool, error)
	Find(ctx context.Context, id string) (queued *store.QueuedRecord, dead *store.DeadRecord, err error)
}

// Deliveries are the last webhook deliveries.
type Deliveries interface {
	// Deliveries lists up to limit deliveries that match and arrived since a time, newest
	// first, from a cursor on.
	Deliveries(ctx context.Context, match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (list []event.Delivery, next string, err error)
}

// Recent is a log of recent items.
type Recent interface {
	// Each calls visit with the items, from the newest on, until visit returns false.
	Each(ctx context.Context, visit func(subject string, item []byte) (more bool)) error
}

// Builder builds stories. All fields are required but Receives.
type Builder struct {
	GitLab      *gitlab.Client
	Store       Store
	Evaluations Recent
	Deliveries  Deliveries
	Pauses      Pauses
	Rules       func() *rules.Rules     // those in force
	Facts       func() expression.Facts // for the explanation of one event
	Receives    bool                    // there is a receiver of notifications
	// CatchUpMaxAge is how far catch-up reaches back.
	CatchUpMaxAge time.Duration
	Admin         string // the address of the server that commands call
	Now           func() time.Time
}

// material is what is known of a job or a pipeline.
type material struct {
	page     gitlab.Page
	instance string
	admin    string
	maxAge   time.Duration // how far catch-up reaches back
	seen     seen
	job      Subject
	pipeline Subject

	evaluations []evaluated.Evaluation // newest first, one of each event
	decisions   []decision             // newest first
	dead        []deadRecord
	deliveries  []event.Delivery // of its events, newest first
	refused     []event.Delivery // of unknown events, since it ended, newest first
	queued      bool             // one of its events is in the queue
	untold      []untold
	problems    []string
	hidden      error // GitLab's answer that there is no such project, job or pipeline
}

// seen is what GitLab says now.
type seen struct {
	project gitlab.Project
	shown   bool // it has the job or the pipeline in the page's project
	job     gitlab.Job
	runs    []gitlab.Job // of the job's name, else all of the pipeline; oldest first
}

// deadRecord is a buried record.
type deadRecord struct {
	store.DeadRecord
	of event.Outcome // its body; that of an event is a part of it
}

// Build builds the story of the job or the pipeline of a page. It returns an error if
// the text is no such page, a *MissingError if there is none and nothing is known of
// one. Whatever else can't be read is missing in the story, which says so. The answer, the
// notes and what the rules made of the event are in a language of event.Languages.
func (b *Builder) Build(ctx context.Context, address, language string) (Story, error) {
	page, err := b.GitLab.ParsePage(ctx, address)
	if err != nil {
		return Story{}, err
	}
	m := &material{page: page, instance: b.GitLab.Instance(), admin: b.Admin, maxAge: b.CatchUpMaxAge}
	m.job.ID, m.pipeline.ID = page.Job, page.Pipeline
	b.readGitLab(ctx, m)
	b.readStore(ctx, m)
	if project := m.elsewhere(); project != "" {
		return Story{}, &MissingError{page, m.page.NotOf(project)}
	}
	if m.hidden != nil && len(m.evaluations)+len(m.decisions)+len(m.dead) == 0 {
		return Story{}, &MissingError{page, page.NotShown(m.hidden) + "; and Pipesteward knows of no event of it"}
	}
	return b.tell(ctx, m, words.Plain.In(language))
}

// readGitLab reads what GitLab says now.
func (b *Builder) readGitLab(ctx context.Context, m *material) {
	ctx, cancel := context.WithTimeout(ctx, gitlabTimeout)
	defer cancel()
	err := m.seen.read(ctx, b.GitLab.WithBudget(maxRequests), m)
	switch {
	case err == nil:
	case apierror.IsHidden(err):
		m.hidden = err
		m.problems = append(m.problems, m.page.NotShown(err))
	case errors.Is(err, context.DeadlineExceeded):
		m.problems = append(m.problems, fmt.Sprintf("what GitLab says now is missing: it did not answer within %s", gitlabTimeout))
	default:
		m.problems = append(m.problems, "what GitLab says now is missing: "+apierror.Words(err))
	}
}

func (s *seen) read(ctx context.Context, gl *gitlab.Client, m *material) (err error) {
	if s.project, err = gl.Project(ctx, m.page.Project); err != nil {
		return err
	}
	if m.job.ID != 0 {
		if s.job, err = gl.Job(ctx, s.project.ID, m.job.ID); err != nil {
			return err
		}
		m.job = subjectOf(s.job.Job)
		m.pipeline.ID = s.job.Pipeline.ID
		s.shown = true
	}
	pipeline, err := gl.Pipeline(ctx, s.project.ID, m.pipeline.ID)
	if err != nil {
		return err
	}
	s.shown = true
	m.pipeline = Subject{
		ID: pipeline.ID, Name: pipeline.Name, Status: pipeline.Status, Ref: pipeline.Ref, URL: pipeline.URL,
		CreatedAt: pipeline.CreatedAt, FinishedAt: pipeline.FinishedAt,
	}
	all, err := gl.PipelineJobs(ctx, s.project.ID, m.pipeline.ID, true)
	for _, run := range slices.Backward(all) {
		if m.job.ID == 0 || run.Name == s.job.Name {
			s.runs = append(s.runs, run)
		}
	}
	return err
}

func subjectOf(j event.Job) Subject {
	return Subject{
		ID: j.ID, Name: j.Name, Status: j.Status, FailureReason: j.FailureReason, Ref: j.Ref, URL: j.URL,
		CreatedAt: j.CreatedAt, FinishedAt: j.FinishedAt,
	}
}

// readStore reads what the store has.
func (b *Builder) readStore(ctx context.Context, m *material) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for _, part := range []struct {
		what string
		read func(context.Context, *material) error
	}{
		{"what the rules made of events is missing or incomplete", b.readEvaluations},
		{"the decisions are missing or incomplete", b.readDecisions},
		{"how often decisions were deferred may be outdated", b.readQueued},
		{"the pauses are missing", b.readStanding},
		{"why nobody was notified is missing or incomplete", b.readUntold},
		{"the buried records are missing", b.readDead},
		{"the deliveries are missing", b.readDeliveries},
	} {
		if err := part.read(ctx, m); err != nil {
			m.problems = append(m.problems, part.what+": "+err.Error())
		}
	}
}

// readEvaluations reads the evaluations of the job's events, and those of its pipeline.
// Without GitLab, the pipeline of a job is that of the events.
func (b *Builder) readEvaluations(ctx context.Context, m *material) error {
	subject, id := evaluated.Subject(m.pipeline.ID), []byte(`"id":`+strconv.FormatInt(m.job.ID, 10))
	all := m.pipeline.ID == 0 // of all pipelines
	var found []evaluated.Evaluation
	var unreadable error
	err := b.Evaluations.Each(ctx, func(of string, item []byte) bool {
		if !all && of != subject || all && !bytes.Contains(item, id) {
			return true
		}
		ev, err := evaluated.Parse(item)
		if err != nil {
			unreadable = err
			return true
		}
		e := ev.Record.Event
		about := m.job.ID == 0 || e.Job.ID == m.job.ID || e.Meta.Kind == event.KindPipeline && slices.ContainsFunc(e.Pipeline.Jobs, func(j event.Job) bool { return j.ID == m.job.ID })
		if about {
			found = append(found, ev)
		}
		return true
	})
	// Those of several replicas are not in the order of their times.
	slices.SortStableFunc(found, func(a, b evaluated.Evaluation) int { return b.At.Compare(a.At) })
	known := map[string]bool{} // ids of events
	for _, ev := range found {
		if id := ev.Record.Meta.ID; !known[id] && len(m.evaluations) < maxEvaluations {
			known[id] = true
			m.evaluations = append(m.evaluations, ev)
			m.learn(ev.Record.Event)
		}
	}
	for _, ev := range m.evaluations {
		m.learnJob(ev.Record.Pipeline.Jobs...) // where no event of its own is kept
	}
	return errors.Join(err, unreadable)
}

// learn completes the subject from an event, where GitLab did not say.
func (m *material) learn(e event.Event) {
	if m.pipeline.ID == 0 {
		m.pipeline.ID = e.Pipeline.ID
	}
	if m.pipeline.Ref == "" {
		m.pipeline.Ref = e.Pipeline.Ref
	}
	if m.page.Pipeline != 0 && m.pipeline.Status == "" {
		m.pipeline.Status = e.Pipeline.Status
	}
	m.learnJob(e.Job)
}

// learnJob completes the job from those of an event, if it is not known yet.
func (m *material) learnJob(jobs ...event.Job) {
	for _, j := range jobs {
		if m.job.ID != 0 && m.job.Name == "" && j.ID == m.job.ID {
			m.job = subjectOf(j)
		}
	}
}

// elsewhere returns the project that the job or the pipeline is recorded in, if GitLab
// does not show it in that of the page, and nothing is recorded of it there; else "".
func (m *material) elsewhere() (project string) {
	if m.seen.shown {
		return ""
	}
	var recorded []event.Project
	for i := range m.evaluations {
		recorded = append(recorded, m.evaluations[i].Record.Project)
	}
	for i := range m.decisions {
		recorded = append(recorded, m.decisions[i].Project)
	}
	for i := range m.dead {
		recorded = append(recorded, m.dead[i].of.Project)
	}
	for i := range m.deliveries {
		recorded = append(recorded, event.Project{ID: m.deliveries[i].ProjectID, Path: m.deliveries[i].Project})
	}
	for _, p := range recorded {
		if strings.EqualFold(p.Path, m.page.Project) || p.ID != 0 && p.ID == m.seen.project.ID {
			return "" // GitLab ignores case in paths, and keeps the id when a project moves
		}
		project = cmp.Or(project, p.Path)
	}
	return project
}

// readDead reads the buried records.
func (b *Builder) readDead(ctx context.Context, m *material) error {
	all, _, err := b.Store.Dead(ctx, "", maxDead)
	for _, record := range all {
		d := deadRecord{DeadRecord: record}
		if json.Unmarshal(record.Body, &d.of) == nil && m.about(&d.of) {
			m.dead = append(m.dead, d)
		}
	}
	return err
}

// readDeliveries reads the deliveries of the job's or the pipeline's events, and those
// that were refused before it was known what they were about, since the job ended.
func (b *Builder) readDeliveries(ctx context.Context, m *material) (err error) {
	since := cmp.Or(m.job.FinishedAt, m.pipeline.FinishedAt, m.job.CreatedAt, m.pipeline.CreatedAt)
	m.deliveries, _, err = b.Deliveries.Deliveries(ctx, m.delivered, time.Time{}, "", maxDeliveries)
	if err != nil {
		return err
	}
	if !since.IsZero() {
		m.refused, _, err = b.Deliveries.Deliveries(ctx, func(d *event.Delivery) bool {
			switch d.Result {
			case event.DeliveryStored, event.DeliveryDuplicate, event.DeliveryIgnored:
				return false
			}
			return d.Job == 0 && d.Pipeline == 0
		}, since.Add(-time.Minute), "", maxDeliveries)
		if err != nil {
			return err
		}
	}
	var ids []string
	for _, d := range m.deliveries {
		if d.Result == event.DeliveryStored && d.Event != "" {
			ids = append(ids, keys.Event(m.instance, d.Event))
		}
	}
	if len(ids) > 0 {
		m.queued, err = b.Store.Queued(ctx, ids...)
	}
	return err
}

// delivered reports whether a delivery is of an event of the job or the pipeline. Only
// an authenticated sender is believed.
func (m *material) delivered(d *event.Delivery) bool {
	ofPipeline := m.pipeline.ID != 0 && d.Pipeline == m.pipeline.ID
	if !d.Authenticated {
		return false
	}
	if m.job.ID == 0 {
		return ofPipeline
	}
	return d.Job == m.job.ID || ofPipeline && d.Kind == event.KindPipeline
}

// about reports whether an event, a decision or an outcome is about the job, or about
// the pipeline as a whole; of the story of a pipeline, about any of its jobs.
func (m *material) about(o *event.Outcome) bool {
	ofPipeline := m.pipeline.ID != 0 && o.Pipeline.ID == m.pipeline.ID
	switch {
	case o.Meta.Instance != "" && o.Meta.Instance != m.instance:
		return false
	case m.job.ID == 0:
		return ofPipeline
	}
	return o.Job.ID == m.job.ID || o.NewJobID == m.job.ID || ofPipeline && event.OfPipeline(o.Action.Verb)
}
