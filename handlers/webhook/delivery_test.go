package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestRecordedDeliveries pins what is kept of a delivery with each result.
func TestRecordedDeliveries(t *testing.T) {
	job, pipeline := fixture(t, "job-failed.json"), fixture(t, "pipeline-failed.json")
	token := []string{"X-Gitlab-Token", secretToken, "Idempotency-Key", "key-1", "X-Gitlab-Event", "Job Hook", "User-Agent", "GitLab/19.1.0", "X-Gitlab-Instance", "https://me:hush@gitlab.example.com"}
	known := event.Delivery{
		At: clock().UTC(), From: "127.0.0.1", Agent: "GitLab/19.1.0", Hook: "Job Hook", Instance: "https://[masked]@gitlab.example.com", Event: "key-1", Authenticated: true,
	}
	ofJob := known
	ofJob.Kind, ofJob.Project, ofJob.ProjectID, ofJob.Pipeline = event.KindJob, "platform/shop/checkout", 204, 15533
	ofJob.Job, ofJob.JobName, ofJob.Status, ofJob.Ref = 90412, "integration 2/4", "failed", "main"
	ofPipeline := known
	ofPipeline.Kind, ofPipeline.Project, ofPipeline.ProjectID = event.KindPipeline, "platform/shop/checkout", 204
	ofPipeline.Pipeline, ofPipeline.Status, ofPipeline.Ref = 15533, "failed", "main"
	ended := func(d event.Delivery, code int, result, reason string) event.Delivery {
		d.Code, d.Result, d.Reason = code, result, reason
		return d
	}
	stranger := known
	stranger.Authenticated = false
	pushed := known
	pushed.ProjectID, pushed.Project = 7, "a/b"
	cases := []struct {
		name   string
		body   []byte
		header []string
		change func(*webhook.Config)
		want   event.Delivery
	}{
		{"a job", job, token, nil, ended(ofJob, 202, "stored", "")},
		{"a pipeline", pipeline, token, nil, ended(ofPipeline, 202, "stored", "")},
		{
			"a job without a project", fixture(t, "job-without-project.json"), token, func(c *webhook.Config) { c.Rules = wants(none) },
			ended(ofJob, 200, "ignored", "no rule can match a job that is failed"),
		},
		{
			"an event that no rule wants", pipeline, token, func(c *webhook.Config) { c.Rules = wants(none) },
			ended(ofPipeline, 200, "ignored", "no rule can match a pipeline that is failed"),
		},
		{
			"another hook", []byte(`{"object_kind":"push","project_id":7,"project":{"path_with_namespace":"a/b"}}`), token, nil,
			ended(pushed, 200, "ignored", "neither a Job Hook nor a Pipeline Hook: at the webhook, turn on Job events and Pipeline events, and no custom template"),
		},
		{
			"a wrong token", job, append([]string{"X-Gitlab-Token", "hush-hush"}, token[2:]...), nil,
			ended(stranger, 401, "unauthorized", "the delivery's secret token is none of those that Pipesteward is configured with: compare the webhook's settings in GitLab"),
		},
		{
			"of another GitLab", job, token, func(c *webhook.Config) { c.GitLab = stagingGitLab{certain: true, requests: new([3]string)} },
			ended(ofJob, 403, "foreign", "this delivery is from the GitLab at https://staging.example.com, and Pipesteward works for the one at https://gitlab.example.com: delete this webhook, or, if both are addresses of one GitLab, start Pipesteward with --gitlab-alias https://staging.example.com"),
		},
		{"no JSON", job[:1000], token, nil, ended(known, 400, "malformed", "the body is not JSON: unexpected end of JSON input")},
		{
			"too large", job, token, func(c *webhook.Config) { c.MaxBody = 10 },
			ended(known, 413, "too_large", "the body is larger than a delivery of GitLab can be"),
		},
		{
			"not stored", job, token, func(c *webhook.Config) {
				c.Queue = &memoryQueue{fail: func(context.Context) error { return errors.New("disk full") }}
			},
			ended(ofJob, 500, "unavailable", "the event could not be stored: send it again later"),
		},
		{
			"a panic", job, token, func(c *webhook.Config) { c.Rules = wants(func(event.Event) bool { panic("no rules") }) },
			ended(ofJob, 500, "panic", ""),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.change)
			if code, answer := r.post(t, c.body, c.header...); code != c.want.Code {
				t.Errorf("answer is %d %s, want %d", code, answer, c.want.Code)
			}
			if diff := cmp.Diff([]event.Delivery{c.want}, r.deliveries.all); diff != "" {
				t.Errorf("kept is something else (- want, + got):\n%s", diff)
			}
		})
	}
}

// TestRecordedDuplicate: what is kept of a delivery does not refer to its body, whose
// memory is used again.
func TestRecordedDuplicate(t *testing.T) {
	r := newRig(t, nil)
	body := func(name string) []byte {
		return fmt.Appendf(nil, `{"object_kind":"build","build_id":7,"build_name":%q,"build_status":%q,"ref":%q,"project_id":204,"project":{"path_with_namespace":%q}}`, name, name, name, name)
	}
	for _, name := range []string{"aaaa", "bbbb", "cccc"} {
		r.post(t, body(name), "X-Gitlab-Token", secretToken, "Idempotency-Key", "one")
	}
	for i, want := range []struct{ result, name string }{{"stored", "aaaa"}, {"duplicate", "bbbb"}, {"duplicate", "cccc"}} {
		d := r.deliveries.all[i]
		if d.Result != want.result || d.JobName != want.name || d.Status != want.name || d.Ref != want.name || d.Project != want.name || d.Event != "one" {
			t.Errorf("delivery %d is kept as %+v, want %s, with the name %s", i+1, d, want.result, want.name)
		}
	}
}

// TestSignedDeliveryIsRecorded: only a right signature makes a sender known.
func TestSignedDeliveryIsRecorded(t *testing.T) {
	job := fixture(t, "job-failed.json")
	for signature, known := range map[string]bool{sign(signingToken, "id", vectorTime, job): true, sign(otherSigningToken, "id", vectorTime, job): false} {
		r := newRig(t, func(c *webhook.Config) { c.Credentials = webhook.Credentials{SigningTokens: []string{signingToken}} })
		r.post(t, job, "webhook-id", "id", "webhook-timestamp", strconv.Itoa(vectorTime), "webhook-signature", signature)
		if len(r.deliveries.all) != 1 || r.deliveries.all[0].Authenticated != known || (r.deliveries.all[0].Job != 0) != known {
			t.Errorf("kept is %+v; want authenticated=%v, and the job only then", r.deliveries.all, known)
		}
	}
}

// TestTextsOfStrangersAreBounded: nobody can fill the memory, or write control
// characters to a terminal.
func TestTextsOfStrangersAreBounded(t *testing.T) {
	r := newRig(t, nil)
	long := strings.Repeat("é", 4000)
	r.post(t, nil, "User-Agent", long, "X-Gitlab-Event", long, "X-Gitlab-Instance", "https://"+long, "Idempotency-Key", "\xff\u009b31m\u202e")
	if len(r.deliveries.all) != 1 {
		t.Fatalf("kept are %+v, want one", r.deliveries.all)
	}
	d := r.deliveries.all[0]
	for _, text := range []string{d.Agent, d.Hook, d.Instance} {
		if len(text) > 128 || !utf8.ValidString(text) || !strings.HasSuffix(text, "…") {
			t.Errorf("a text has %d bytes: %q", len(text), text)
		}
	}
	if want := "??31m?"; d.Event != want {
		t.Errorf("the key is kept as %q, want %q", d.Event, want)
	}
}

// TestFirstDeliveryOfAProject: the log shows what came first of each project, and only
// that, whoever else sends.
func TestFirstDeliveryOfAProject(t *testing.T) {
	r := newRig(t, func(c *webhook.Config) {
		c.Rules = wants(func(e event.Event) bool { return e.Project.ID == 1 })
	})
	send := func(token string, project int) {
		r.post(t, fmt.Appendf(nil, `{"object_kind":"build","build_id":7,"build_status":"success","project_id":%d,"project":{"path_with_namespace":"group/p%d"}}`, project, project), "X-Gitlab-Token", token, "X-Gitlab-Event", "Job Hook")
	}
	send("wrong", 3)
	for range 3 {
		send(secretToken, 1)
		send(secretToken, 2)
	}
	var first []string
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "the first delivery of a project") {
			first = append(first, line)
		}
	}
	want := [][]string{
		{"level=INFO", "project=group/p1", "result=stored", `hook="Job Hook"`, "status=success"},
		{"level=INFO", "project=group/p2", "result=ignored", `reason="no rule can match a job that is success"`},
	}
	if len(first) != len(want) {
		t.Fatalf("the log has %d first deliveries, want %d:\n%s", len(first), len(want), r.log)
	}
	for i, parts := range want {
		for _, part := range parts {
			if !strings.Contains(first[i], part) {
				t.Errorf("line %d lacks %s:\n%s", i+1, part, first[i])
			}
		}
	}
}

// TestManyProjects: the memory for first deliveries is bounded.
func TestManyProjects(t *testing.T) {
	r := newRig(t, func(c *webhook.Config) { c.Rules = wants(none) })
	const most = 10_000
	for id := range most + 100 {
		req, err := http.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(fmt.Sprintf(`{"object_kind":"build","build_id":7,"project_id":%d}`, id+1)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Gitlab-Token", secretToken)
		r.handler.ServeHTTP(discard{http.Header{}}, req)
	}
	if n := strings.Count(r.log.String(), "the first delivery"); n != most {
		t.Errorf("%d first deliveries are logged, want %d", n, most)
	}
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header             { return d.header }
func (d discard) Write(b []byte) (int, error)     { return len(b), nil }
func (d discard) WriteHeader(int)                 {}
func (d discard) SetReadDeadline(time.Time) error { return nil }
