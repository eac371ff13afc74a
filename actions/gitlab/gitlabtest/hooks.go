package gitlabtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hook is a webhook.
type Hook struct {
	ID             int64  // set by AddHook
	ProjectID      int64  // 0: all projects, as the system's hook, or those of Group
	Group          string // full path: the projects in it and in its subgroups
	URL            string
	Token          string // sent as X-Gitlab-Token
	SigningToken   string // whsec_...: since 19.0, signs the body
	JobEvents      bool
	PipelineEvents bool
}

// Delivery is one webhook request.
type Delivery struct {
	ID     int64
	HookID int64
	Event  string // Job Hook or Pipeline Hook
	Key    string // the Idempotency-Key
	Body   []byte
	At     time.Time // when it was answered, by Options.Now; zero: not yet
	Status int       // what was answered; 0: nothing
	Error  string    // why nothing was answered
}

// AddHook adds a webhook: whatever is done from now on, by the API or by the
// test, sends the hooks that GitLab would send.
func (s *Server) AddHook(h Hook) Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.SigningToken != "" {
		if _, err := signingKey(h.SigningToken); err != nil {
			panic(err)
		}
	}
	s.lastID.hook++
	h.ID = s.lastID.hook
	s.hooks = append(s.hooks, h)
	return h
}

// Deliveries lists all webhook requests so far, oldest first, those that wait
// to be sent too.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Delivery, len(s.deliveries))
	for i, d := range s.deliveries {
		list[i] = *d
	}
	return list
}

// Resend sends a delivery once more, with the same key: GitLab never does so
// by itself, but people and its API can.
func (s *Server) Resend(deliveryID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.ID == deliveryID {
			s.enqueue(Delivery{HookID: d.HookID, Event: d.Event, Key: d.Key, Body: d.Body})
			return
		}
	}
	panic(fmt.Sprintf("gitlabtest: there is no delivery %d", deliveryID))
}

// Flush returns when every hook so far was sent and answered, or failed.
func (s *Server) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && !s.closed {
		s.changed.Wait()
	}
}

// JobHookBody is the body of the Job Hook that GitLab would send now.
func (s *Server) JobHookBody(jobID int64) []byte {
	s.lock()
	defer s.mu.Unlock()
	return encode(s.jobHook(must(s.jobs, jobID, "job")))
}

// PipelineHookBody is the body of the Pipeline Hook that GitLab would send
// now.
func (s *Server) PipelineHookBody(pipelineID int64) []byte {
	s.lock()
	defer s.mu.Unlock()
	return encode(s.pipelineHook(must(s.pipelines, pipelineID, "pipeline")))
}

// Sign gives the webhook-signature header of a body: HMAC-SHA256 over id,
// time and body, as Standard Webhooks has it. The id is the webhook-id
// header, the time the webhook-timestamp header.
func Sign(signingToken, id string, at time.Time, body []byte) (string, error) {
	key, err := signingKey(signingToken)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(fmt.Appendf(nil, "%s.%d.", id, at.Unix()))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

func signingKey(token string) ([]byte, error) {
	text, found := strings.CutPrefix(token, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !found || err != nil {
		return nil, errors.New("gitlabtest: a signing token is whsec_ and base64")
	}
	return key, nil
}

// notify queues a hook's requests, one for each webhook that wants it.
func (s *Server) notify(p *pipeline, event string, body func() object) {
	if s.muted {
		return
	}
	for _, h := range s.hooks {
		wanted := h.JobEvents && event == "Job Hook" || h.PipelineEvents && event == "Pipeline Hook"
		if wanted && h.covers(p.project) {
			s.enqueue(Delivery{HookID: h.ID, Event: event, Key: uuid(), Body: encode(body())})
		}
	}
}

// covers reports whether the webhook is told of the project.
func (h Hook) covers(p *project) bool {
	if h.Group != "" {
		return strings.HasPrefix(p.Path, h.Group+"/")
	}
	return h.ProjectID == 0 || h.ProjectID == p.ID
}

func (s *Server) enqueue(d Delivery) {
	d.ID = int64(len(s.deliveries) + 1)
	s.deliveries = append(s.deliveries, &d)
	s.queue = append(s.queue, &d)
	s.changed.Broadcast()
}

// hookTimeout is how long GitLab waits for an answer.
const hookTimeout = 10 * time.Second

func newHookClient() *http.Client {
	return &http.Client{
		Timeout:   hookTimeout,
		Transport: &http.Transport{},
		// A redirect is an answer, and counts as success.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sendHooks sends what is queued, one after the other, until Close.
func (s *Server) sendHooks(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 && !s.closed {
			s.changed.Wait()
		}
		if s.closed {
			return
		}
		d := s.queue[0]
		hook := s.hooks[slices.IndexFunc(s.hooks, func(h Hook) bool { return h.ID == d.HookID })]
		s.mu.Unlock()
		status, err := s.send(ctx, hook, *d)
		s.mu.Lock()
		d.At, d.Status = s.o.Now(), status
		if err != nil {
			d.Error = err.Error()
		}
		s.queue = s.queue[1:]
		s.changed.Broadcast()
	}
}

// send makes one webhook request.
func (s *Server) send(ctx context.Context, hook Hook, d Delivery) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "GitLab/"+s.o.Version)
	r.Header.Set("X-Gitlab-Event", d.Event)
	r.Header.Set("X-Gitlab-Instance", s.origin())
	r.Header.Set("X-Gitlab-Webhook-Uuid", uuid())
	r.Header.Set("X-Gitlab-Event-Uuid", uuid())
	if hook.Token != "" {
		r.Header.Set("X-Gitlab-Token", hook.Token)
	}
	if s.version.atLeast(17, 4) {
		r.Header.Set("Idempotency-Key", d.Key)
	}
	if hook.SigningToken != "" && s.version.atLeast(19, 0) {
		at := s.o.Now()
		signature, err := Sign(hook.SigningToken, d.Key, at, d.Body)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Webhook-Id", d.Key)
		r.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		r.Header.Set("Webhook-Signature", signature)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func encode(o object) []byte {
	body, err := json.Marshal(o)
	if err != nil {
		panic(err) // only what this package made is encoded
	}
	return body
}

// jobHook is the body of a Job Hook (Gitlab::DataBuilder::Build). That
// retries_count came with 16.2 is documented; for project, source_pipeline and
// the ISO times, only that old versions lack them.
func (s *Server) jobHook(j *job) object {
	p := j.pipeline
	reason := j.FailureReason
	if reason == "" {
		reason = "unknown_failure" // also on a job that did not fail
	}
	o := object{
		"object_kind":           "build",
		"ref":                   p.Ref,
		"tag":                   p.Tag,
		"before_sha":            p.BeforeSHA,
		"sha":                   p.SHA,
		"build_id":              j.ID,
		"build_name":            j.Name,
		"build_stage":           j.Stage,
		"build_status":          j.Status,
		"build_created_at":      utcTime(j.CreatedAt),
		"build_started_at":      utcTime(j.StartedAt),
		"build_finished_at":     utcTime(j.FinishedAt),
		"build_duration":        s.seconds(j.StartedAt, j.FinishedAt),
		"build_queued_duration": s.queuedDuration(j),
		"build_allow_failure":   j.AllowFailure,
		"build_failure_reason":  reason,
		"pipeline_id":           p.ID,
		"runner":                hookRunner(j),
		"project_id":            p.ProjectID,
		"project_name":          p.project.Namespace() + " / " + p.project.Name,
		"user":                  hookUser(j.User),
		"commit": object{
			"id":           p.ID, // yes, the pipeline's
			"name":         orNull(p.Name),
			"sha":          p.SHA,
			"message":      p.Message,
			"author_name":  p.User.Name,
			"author_email": p.User.Email,
			"author_url":   s.external + "/" + p.User.Username,
			"status":       p.Status,
			"duration":     p.duration(),
			"started_at":   utcTime(p.StartedAt),
			"finished_at":  utcTime(p.FinishedAt),
		},
		"repository": object{
			"name":             p.project.Name,
			"url":              "git@example.com:" + p.project.Path + ".git",
			"description":      "",
			"homepage":         p.project.WebURL,
			"git_http_url":     p.project.WebURL + ".git",
			"git_ssh_url":      "git@example.com:" + p.project.Path + ".git",
			"visibility_level": 0,
		},
		"environment": hookEnvironment(j),
	}
	if s.version.atLeast(16, 2) {
		o["retries_count"] = j.hookRetries()
	}
	if s.version.atLeast(17, 0) {
		o["project"] = hookProject(p.project)
		s.addSourcePipeline(o, p)
	}
	if s.version.atLeast(18, 0) {
		for name, t := range map[string]time.Time{"created": j.CreatedAt, "started": j.StartedAt, "finished": j.FinishedAt} {
			o["build_"+name+"_at"] = isoTime(t)
			o["build_"+name+"_at_iso"] = isoSeconds(t)
		}
	}
	return o
}

// pipelineHook is the body of a Pipeline Hook (Gitlab::DataBuilder::Pipeline).
func (s *Server) pipelineHook(p *pipeline) object {
	builds := []object{}
	for _, j := range slices.Backward(p.latest()) {
		if !j.Bridge {
			builds = append(builds, s.hookBuild(j))
		}
	}
	detailed := p.Status
	if detailed == "success" {
		detailed = "passed"
	}
	o := object{
		"object_kind": "pipeline",
		"object_attributes": object{
			"id":              p.ID,
			"iid":             p.IID,
			"name":            orNull(p.Name),
			"ref":             p.hookRef(),
			"tag":             p.Tag,
			"sha":             p.SHA,
			"before_sha":      p.BeforeSHA,
			"source":          p.Source,
			"status":          p.Status,
			"detailed_status": detailed,
			"stages":          p.Stages,
			"created_at":      utcTime(p.CreatedAt),
			"finished_at":     utcTime(p.FinishedAt),
			"duration":        p.duration(),
			"queued_duration": p.queuedDuration(),
			"protected_ref":   p.protected(),
			"variables":       orEmpty(p.Variables),
			"url":             p.WebURL,
		},
		"merge_request": nil,
		"user":          hookUser(p.User),
		"project":       hookProject(p.project),
		"commit": object{
			"id":        p.SHA,
			"message":   p.Message,
			"title":     title(p.Message),
			"timestamp": p.CreatedAt.Format(time.RFC3339),
			"url":       p.project.WebURL + "/-/commit/" + p.SHA,
			"author":    object{"name": p.User.Name, "email": p.User.Email},
		},
		"builds": builds,
	}
	if mr := p.MergeRequest; mr != nil {
		o["merge_request"] = object{
			"id":                mr.IID,
			"iid":               mr.IID,
			"title":             mr.Title,
			"source_branch":     mr.SourceBranch,
			"source_project_id": p.ProjectID,
			"target_branch":     mr.TargetBranch,
			"target_project_id": p.ProjectID,
			"state":             mr.State,
			"merge_status":      "can_be_merged",
			"url":               fmt.Sprintf("%s/-/merge_requests/%d", p.project.WebURL, mr.IID),
		}
	}
	s.addSourcePipeline(o, p)
	return o
}

func (s *Server) hookBuild(j *job) object {
	archive := object{"filename": nil, "size": nil}
	for _, a := range j.Artifacts {
		if a.FileType == "archive" {
			archive = object{"filename": a.Filename, "size": a.Size}
		}
	}
	return object{
		"id":              j.ID,
		"stage":           j.Stage,
		"name":            j.Name,
		"status":          j.Status,
		"created_at":      utcTime(j.CreatedAt),
		"started_at":      utcTime(j.StartedAt),
		"finished_at":     utcTime(j.FinishedAt),
		"duration":        s.seconds(j.StartedAt, j.FinishedAt),
		"queued_duration": s.queuedDuration(j),
		"failure_reason":  orNull(j.FailureReason),
		"when":            j.When,
		"manual":          j.hasAction(),
		"allow_failure":   j.AllowFailure,
		"user":            hookUser(j.User),
		"runner":          hookRunner(j),
		"artifacts_file":  archive,
		"environment":     hookEnvironment(j),
	}
}

// addSourcePipeline names the pipeline upstream, if there is one.
func (s *Server) addSourcePipeline(o object, p *pipeline) {
	bridge := s.jobs[p.TriggeredBy]
	if bridge == nil {
		return
	}
	upstream := bridge.pipeline
	o["source_pipeline"] = object{
		"project": object{
			"id":                  upstream.ProjectID,
			"web_url":             upstream.project.WebURL,
			"path_with_namespace": upstream.project.Path,
		},
		"pipeline_id": upstream.ID,
		"job_id":      bridge.ID,
	}
}

// utcTime is how hooks write most times; null for none.
func utcTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func isoSeconds(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func hookUser(u User) object {
	return object{"id": u.ID, "name": u.Name, "username": u.Username, "avatar_url": nil, "email": u.Email}
}

func hookRunner(j *job) any {
	if j.StartedAt.IsZero() {
		return nil
	}
	return object{
		"id":          j.Runner.ID,
		"description": j.Runner.Description,
		"runner_type": j.Runner.Type,
		"active":      true,
		"is_shared":   j.Runner.Type == "instance_type",
		"tags":        orEmpty(j.Runner.Tags),
	}
}

func hookEnvironment(j *job) any {
	e := j.Environment
	if e.Name == "" {
		return nil
	}
	return object{"name": e.Name, "action": orNull(e.Action), "deployment_tier": orNull(e.Tier)}
}

func hookProject(p *project) object {
	return object{
		"id":                  p.ID,
		"name":                p.Name,
		"description":         nil,
		"web_url":             p.WebURL,
		"avatar_url":          nil,
		"git_ssh_url":         "git@example.com:" + p.Path + ".git",
		"git_http_url":        p.WebURL + ".git",
		"namespace":           p.Namespace(),
		"visibility_level":    0,
		"path_with_namespace": p.Path,
		"default_branch":      p.DefaultBranch,
		"ci_config_path":      nil,
	}
}
