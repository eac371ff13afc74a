package gitlabtest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const signingToken = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// The vector was computed apart from this code, after Standard Webhooks.
func TestSign(t *testing.T) {
	t.Parallel()
	got, err := gitlabtest.Sign(signingToken, "f5e5f430-f57b-4e6e-9fac-d9128cd7232f", time.Unix(1744578123, 0), []byte(`{"object_kind":"build"}`))
	if want := "v1,XeG32UOGKYmyoS1nskfX1CcnQeRXquN1mSHSgxzAX4g="; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, token := range []string{"", "secret", "whsec_!", signingToken[6:]} {
		if _, err := gitlabtest.Sign(token, "id", time.Unix(0, 0), nil); err == nil {
			t.Errorf("%q was taken for a signing token", token)
		}
	}
}

func TestHooksFollow(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	rec := newReceiver(t)
	gl.AddHook(gitlabtest.Hook{URL: rec.URL, JobEvents: true, PipelineEvents: true})
	project := gl.AddProject(gitlabtest.Project{Path: "g/p"})

	var p gitlabtest.Pipeline
	id := func(name string) int64 { return gl.Latest(p.ID, name).ID }
	for _, tt := range []struct {
		name string
		do   func()
		want []string
	}{
		{"a push", func() {
			p = gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
				gitlabtest.Job{Stage: "test", Name: "t"},
				gitlabtest.Job{Stage: "test", Name: "bridge", Bridge: true},
				gitlabtest.Job{Stage: "deploy", Name: "d", When: "manual"})
		}, []string{"t created", "d created", "t pending", "pipeline pending"}},
		{"a runner comes", func() { gl.Run(id("t")) }, []string{"t running", "pipeline running"}},
		{"the job fails, while the bridge is open", func() { gl.Finish(id("t"), "failed", "") }, []string{"t failed"}},
		{"the bridge's pipeline passes", func() { gl.Run(id("bridge")); gl.Finish(id("bridge"), "success", "") }, []string{"pipeline failed"}},
		{"a retry by the API", func() { ask(t, gl, "POST", "/projects/1/jobs/1001/retry", "") }, []string{"t created", "t pending", "pipeline running"}},
		{"it passes", func() { gl.Run(id("t")); gl.Finish(id("t"), "success", "") }, []string{"t running", "t success", "pipeline manual"}},
		{"play by the API", func() { ask(t, gl, "POST", "/projects/1/jobs/1003/play", "") }, []string{"d pending", "pipeline running"}},
		{"cancel by the API", func() { ask(t, gl, "POST", "/projects/1/jobs/1003/cancel", "") }, []string{"d canceled", "pipeline canceled"}},
		{"cancel of nothing", func() { ask(t, gl, "POST", "/projects/1/jobs/1003/cancel", "") }, []string{}},
		{"erase", func() { gl.SetLog(1001, "x"); ask(t, gl, "POST", "/projects/1/jobs/1001/erase", "") }, []string{}},
		{"a call that carries a hook's UUID", func() {
			ask(t, gl, "POST", "/projects/1/jobs/1003/retry", "", "Private-Token", gitlabtest.DefaultToken, "X-Gitlab-Event-UUID", "u")
		}, []string{}},
		{"a pipeline of the past", func() {
			gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "t", Status: "failed"})
		}, []string{}},
	} {
		tt.do()
		gl.Flush()
		if diff := cmp.Diff(tt.want, story(rec.take())); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestHookHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version string
		hook    gitlabtest.Hook
		has     string
		hasNot  string
	}{
		{"19.0.0", gitlabtest.Hook{Token: "plain", SigningToken: signingToken}, "X-Gitlab-Token Idempotency-Key Webhook-Id Webhook-Timestamp Webhook-Signature", ""},
		{"19.0.0", gitlabtest.Hook{SigningToken: signingToken}, "Idempotency-Key Webhook-Signature", "X-Gitlab-Token"},
		{"18.9.0", gitlabtest.Hook{SigningToken: signingToken}, "Idempotency-Key", "Webhook-Id Webhook-Timestamp Webhook-Signature"},
		{"17.3.0", gitlabtest.Hook{Token: "plain"}, "X-Gitlab-Token", "Idempotency-Key Webhook-Id"},
	} {
		gl, now := start(t, func(o *gitlabtest.Options) { o.Version = tt.version })
		rec := newReceiver(t)
		tt.hook.URL, tt.hook.JobEvents = rec.URL, true
		gl.AddHook(tt.hook)
		shop(gl)
		gl.Flush()

		hits := rec.take()
		if len(hits) != 4 {
			t.Fatalf("%s: %d hooks", tt.version, len(hits))
		}
		h := hits[0].header
		for _, name := range strings.Fields("User-Agent X-Gitlab-Webhook-Uuid X-Gitlab-Event-Uuid " + tt.has) {
			if h.Get(name) == "" {
				t.Errorf("%s: no %s", tt.version, name)
			}
		}
		for _, name := range strings.Fields(tt.hasNot) {
			if h.Get(name) != "" {
				t.Errorf("%s: %s is %q", tt.version, name, h.Get(name))
			}
		}
		want := map[string]string{
			"Content-Type":      "application/json",
			"User-Agent":        "GitLab/" + tt.version,
			"X-Gitlab-Event":    "Job Hook",
			"X-Gitlab-Instance": gl.URL(),
			"X-Gitlab-Token":    tt.hook.Token,
		}
		for name, value := range want {
			if h.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", tt.version, name, h.Get(name), value)
			}
		}
		if h.Get("Webhook-Signature") != "" {
			signature, err := gitlabtest.Sign(signingToken, h.Get("Idempotency-Key"), now.Now(), hits[0].raw)
			if err != nil || h.Get("Webhook-Signature") != signature || h.Get("Webhook-Id") != h.Get("Idempotency-Key") {
				t.Errorf("%s: signed %v", tt.version, h)
			}
		}
	}
}

func TestHooksAreForSome(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	jobs, pipelines, elsewhere := newReceiver(t), newReceiver(t), newReceiver(t)
	gl.AddHook(gitlabtest.Hook{URL: jobs.URL, JobEvents: true, ProjectID: 1})
	gl.AddHook(gitlabtest.Hook{URL: pipelines.URL, PipelineEvents: true})
	gl.AddHook(gitlabtest.Hook{URL: elsewhere.URL, PipelineEvents: true, JobEvents: true, ProjectID: 2})
	shop(gl)
	gl.Flush()
	if diff := cmp.Diff([]string{"compile created", "rspec created", "production created", "compile pending"}, story(jobs.take())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"pipeline pending"}, story(pipelines.take())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{}, story(elsewhere.take())); diff != "" {
		t.Error(diff)
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	gl, now := start(t)
	rec := newReceiver(t)
	rec.status = http.StatusServiceUnavailable
	gone := newReceiver(t).URL + "0" // no such port
	gl.AddHook(gitlabtest.Hook{URL: rec.URL, PipelineEvents: true})
	gl.AddHook(gitlabtest.Hook{URL: gone, PipelineEvents: true})
	p := shop(gl)
	gl.Flush()

	list := gl.Deliveries()
	if len(list) != 2 {
		t.Fatalf("%d deliveries", len(list))
	}
	if d := list[0]; d.Status != 503 || d.Error != "" || d.Event != "Pipeline Hook" || !d.At.Equal(now.Now()) || string(d.Body) != string(gl.PipelineHookBody(p.ID)) {
		t.Errorf("got %+v", d)
	}
	if d := list[1]; d.Status != 0 || d.Error == "" || d.At.IsZero() || d.Key == list[0].Key {
		t.Errorf("got %+v", d)
	}

	rec.status = http.StatusFound // a redirect is not followed
	gl.Resend(list[0].ID)
	gl.Flush()
	hits := rec.take()
	if len(hits) != 2 || string(hits[0].raw) != string(hits[1].raw) ||
		hits[0].header.Get("Idempotency-Key") != hits[1].header.Get("Idempotency-Key") ||
		hits[0].header.Get("X-Gitlab-Webhook-Uuid") == hits[1].header.Get("X-Gitlab-Webhook-Uuid") {
		t.Errorf("resent: %+v", hits)
	}
	if d := gl.Deliveries()[2]; d.Status != 302 || d.Key != list[0].Key {
		t.Errorf("got %+v", d)
	}
}

func TestJobHookBody(t *testing.T) {
	t.Parallel()
	bodyOf := func(version string) (map[string]any, *gitlabtest.Server) {
		gl, now := start(t, func(o *gitlabtest.Options) { o.Version = version })
		p := shop(gl)
		job := gl.Latest(p.ID, "compile")
		now.Advance(5 * time.Second)
		gl.Run(job.ID)
		now.Advance(90 * time.Second)
		gl.Finish(job.ID, "failed", "runner_system_failure")
		again := must(gl.Retry(job.ID))
		now.Advance(time.Second)
		gl.Run(again.ID)
		gl.Finish(again.ID, "success", "")
		return decode[map[string]any](t, string(gl.JobHookBody(again.ID))), gl
	}

	got, gl := bodyOf("19.1.0")
	home := gl.URL() + "/platform/shop"
	want := map[string]any{
		"object_kind": "build", "ref": "main", "tag": false, "retries_count": 1.0,
		"build_id": 1004.0, "build_name": "compile", "build_stage": "build", "build_status": "success",
		"build_created_at": "2026-11-01T12:01:35.000Z", "build_created_at_iso": "2026-11-01T12:01:35Z",
		"build_started_at": "2026-11-01T12:01:36.000Z", "build_finished_at_iso": "2026-11-01T12:01:36Z",
		"build_duration": 0.0, "build_queued_duration": 1.0, "build_allow_failure": false,
		"build_failure_reason": "unknown_failure", "pipeline_id": 101.0,
		"project_id": 1.0, "project_name": "platform / shop", "environment": nil, "source_pipeline": nil,
	}
	for name, value := range want {
		if diff := cmp.Diff(value, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	parts := map[string]map[string]any{
		"commit":     {"id": 101.0, "status": "running", "author_name": "Ada Lovelace"},
		"runner":     {"id": 11.0, "runner_type": "instance_type", "is_shared": true},
		"user":       {"username": "ada"},
		"repository": {"homepage": home},
		"project":    {"id": 1.0, "path_with_namespace": "platform/shop", "web_url": home, "default_branch": "main"},
	}
	for part, fields := range parts {
		for name, value := range fields {
			if diff := cmp.Diff(value, got[part].(map[string]any)[name]); diff != "" {
				t.Errorf("%s.%s: %s", part, name, diff)
			}
		}
	}

	for version, missing := range map[string]string{
		"17.11.0": "build_created_at_iso",
		"16.11.0": "build_created_at_iso project",
		"16.1.0":  "build_created_at_iso project retries_count",
	} {
		got, _ := bodyOf(version)
		for _, name := range strings.Fields(missing) {
			if _, has := got[name]; has {
				t.Errorf("%s has %s", version, name)
			}
		}
		if got["build_created_at"] != "2026-11-01 12:01:35 UTC" {
			t.Errorf("%s: build_created_at is %v", version, got["build_created_at"])
		}
	}
}

func TestStuckJobHasNoRunner(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	retry := must(s.gl.Retry(s.compile))
	s.gl.Finish(retry.ID, "failed", "stuck_pending_no_matching_runners")
	got := decode[map[string]any](t, string(s.gl.JobHookBody(retry.ID)))
	for name, want := range map[string]any{
		"build_failure_reason": "stuck_pending_no_matching_runners",
		"build_started_at":     nil, "runner": nil, "build_duration": nil, "build_queued_duration": 0.0,
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPipelineHookBody(t *testing.T) {
	t.Parallel()
	gl, now := start(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop", ProtectedRefs: []string{"main"}})
	p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{
		Name:         "Nightly",
		Variables:    []gitlabtest.Variable{{Key: "A", Value: "b"}},
		MergeRequest: &gitlabtest.MergeRequest{IID: 4, Title: "Faster", State: "opened", SourceBranch: "fast", TargetBranch: "main"},
	},
		gitlabtest.Job{Stage: "test", Name: "t"},
		gitlabtest.Job{Stage: "test", Name: "bridge", Bridge: true},
		gitlabtest.Job{Stage: "deploy", Name: "d", When: "manual", Environment: gitlabtest.Environment{Name: "prod", Action: "start", Tier: "production"}})
	gl.Run(1001)
	gl.Finish(1001, "failed", "script_failure")
	again := must(gl.Retry(1001))
	now.Advance(10 * time.Second)
	gl.Run(again.ID)
	gl.SetArtifacts(again.ID, gitlabtest.Archive)
	now.Advance(20 * time.Second)
	gl.Finish(again.ID, "failed", "api_failure")
	gl.Finish(1002, "success", "")

	got := decode[map[string]any](t, string(gl.PipelineHookBody(p.ID)))
	attributes := got["object_attributes"].(map[string]any)
	for name, want := range map[string]any{
		"id": 101.0, "iid": 1.0, "name": "Nightly", "ref": "fast", "source": "merge_request_event", "status": "failed", "detailed_status": "failed",
		"stages": []any{"test", "deploy"}, "created_at": "2026-11-01 12:00:00 UTC", "finished_at": "2026-11-01 12:00:30 UTC",
		"duration": 30.0, "queued_duration": nil, "protected_ref": false,
		"variables": []any{map[string]any{"key": "A", "value": "b"}}, "url": p.WebURL,
	} {
		if diff := cmp.Diff(want, attributes[name]); diff != "" {
			t.Errorf("object_attributes.%s: %s", name, diff)
		}
	}
	if mr := got["merge_request"].(map[string]any); mr["iid"] != 4.0 || mr["source_branch"] != "fast" {
		t.Errorf("merge_request: %v", mr)
	}
	if commit := got["commit"].(map[string]any); commit["id"] != p.SHA || commit["title"] != "Change 1" {
		t.Errorf("commit: %v", commit)
	}

	builds := got["builds"].([]any)
	if len(builds) != 2 {
		t.Fatalf("builds: %v; want the latest of each job, no bridges", builds)
	}
	latest, deploy := builds[0].(map[string]any), builds[1].(map[string]any)
	for name, want := range map[string]any{
		"id": 1004.0, "name": "t", "status": "failed", "failure_reason": "api_failure", "when": "on_success", "manual": false,
		"duration": 20.0, "artifacts_file": map[string]any{"filename": "artifacts.zip", "size": 1000.0},
	} {
		if diff := cmp.Diff(want, latest[name]); diff != "" {
			t.Errorf("t.%s: %s", name, diff)
		}
	}
	for name, want := range map[string]any{
		"status": "skipped", "failure_reason": nil, "when": "manual", "manual": true, "runner": nil,
		"environment": map[string]any{"name": "prod", "action": "start", "deployment_tier": "production"},
	} {
		if diff := cmp.Diff(want, deploy[name]); diff != "" {
			t.Errorf("d.%s: %s", name, diff)
		}
	}
}

// A receiver that hangs does not keep Close from ending.
func TestCloseDropsHooks(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	hanging := newHanging(t, arrived, release)
	gl.AddHook(gitlabtest.Hook{URL: hanging, JobEvents: true})
	shop(gl)
	<-arrived
	gl.Close()
	gl.Flush()
	close(release)
	if d := gl.Deliveries(); len(d) != 4 || d[0].Error == "" || !d[1].At.IsZero() {
		t.Errorf("got %+v", d)
	}
}
