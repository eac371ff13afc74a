package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

func TestWebhookAnswers(t *testing.T) {
	job, pipeline := fixture(t, "job-failed.json"), fixture(t, "pipeline-failed.json")
	cases := []struct {
		name    string
		body    []byte
		change  func(*webhook.Config)
		code    int
		answer  string
		counted string
	}{
		{"job", job, nil, 202, `{"status":"stored"}`, "job stored 1"},
		{"pipeline", pipeline, nil, 202, `{"status":"stored"}`, "pipeline stored 1"},
		{"build hook", fixture(t, "build-hook-2016.json"), nil, 202, `{"status":"stored"}`, "job stored 1"},
		{
			"job that no rule wants", job, func(c *webhook.Config) { c.Rules = wants(none) },
			200, `{"status":"ignored"}`, "job ignored 1",
		},
		{"another hook", []byte(`{"object_kind":"note"}`), nil, 200, `{"status":"ignored"}`, "other ignored 1"},
		{"a template of its own", []byte(`["pipeline", 7]`), nil, 200, `{"status":"ignored"}`, "other ignored 1"},
		{"cut off", job[:1000], nil, 400, `{"error":"the body is not JSON: unexpected end of JSON input"}`, "other malformed 1"},
		{"nothing", nil, nil, 400, `{"error":"the body is not JSON: unexpected end of JSON input"}`, "other malformed 1"},
		{
			"no job", []byte(vectorBody), nil,
			400, `{"error":"field \"build_id\": expected the job's id, a whole number from 1"}`, "other malformed 1",
		},
		{
			"too large", job, func(c *webhook.Config) { c.MaxBody = int64(len(job)) - 1 },
			413, `{"error":"the body is larger than a delivery of GitLab can be"}`, "other too_large 1",
		},
		{
			"just not too large", job, func(c *webhook.Config) { c.MaxBody = int64(len(job)) },
			202, `{"status":"stored"}`, "job stored 1",
		},
		{
			"store fails", job, func(c *webhook.Config) {
				c.Queue = &memoryQueue{fail: func(context.Context) error { return errors.New("disk full") }}
			},
			500, `{"error":"the event could not be stored: send it again later"}`, "job unavailable 1",
		},
		{
			"store hangs", job, func(c *webhook.Config) {
				c.PutTimeout = time.Millisecond
				c.Queue = &memoryQueue{fail: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
			},
			500, `{"error":"the event could not be stored: send it again later"}`, "job unavailable 1",
		},
		{
			"panic", job, func(c *webhook.Config) {
				c.Rules = wants(func(event.Event) bool { panic("no rules") })
			},
			500, `{"error":"something went wrong here: see the log"}`, "other panic 1",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.change)
			code, answer := r.post(t, c.body, "X-Gitlab-Token", secretToken)
			if code != c.code || answer != c.answer {
				t.Errorf("answer is %d %s, want %d %s", code, answer, c.code, c.answer)
			}
			if diff := cmp.Diff([]string{c.counted}, r.counted(t)); diff != "" {
				t.Errorf("deliveries are counted otherwise (- want, + got):\n%s", diff)
			}
			if stored := len(r.queue.ids()); (stored > 0) != (code == 202) {
				t.Errorf("%d events are stored after a %d", stored, code)
			}
		})
	}
}

// TestWebhookMetric also checks the metric's name, help and type by
// Prometheus's own rules.
func TestWebhookMetric(t *testing.T) {
	r := newRig(t, nil)
	r.post(t, fixture(t, "job-failed.json"), "X-Gitlab-Token", secretToken)
	problems, err := testutil.GatherAndLint(r.metrics)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestWebhookTakesNothingElse(t *testing.T) {
	r := newRig(t, nil)
	cases := []struct {
		method, path string
		code         int
		answer       string
	}{
		{http.MethodGet, webhook.Path, 405, `{"error":"this address takes only POST"}`},
		{http.MethodPut, webhook.Path, 405, `{"error":"this address takes only POST"}`},
		{http.MethodGet, webhook.Path + "/", 405, `{"error":"this address takes only POST"}`},
		{http.MethodPost, webhook.Path + "/x", 404, `{"error":"there is nothing at this address"}`},
		{http.MethodPost, "/", 404, `{"error":"there is nothing at this address"}`},
		{http.MethodGet, "/metrics", 404, `{"error":"there is nothing at this address"}`},
	}
	for _, c := range cases {
		req, err := http.NewRequest(c.method, r.URL+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if code, answer, err := read(resp); err != nil || code != c.code || answer != c.answer {
			t.Errorf("%s %s: answer is %d %s (%v), want %d %s", c.method, c.path, code, answer, err, c.code, c.answer)
		}
	}
}

// TestWebhookWithASlash: people write the URL with a slash at its end, too.
func TestWebhookWithASlash(t *testing.T) {
	r := newRig(t, nil)
	r.URL += webhook.Path + "/?to=" // post appends the path
	if code, answer := r.post(t, fixture(t, "job-failed.json"), "X-Gitlab-Token", secretToken); code != 202 {
		t.Errorf("answer is %d %s, want 202", code, answer)
	}
}

// TestWebhookRecord pins the record of a delivery.
func TestWebhookRecord(t *testing.T) {
	r := newRig(t, nil)
	body := fixture(t, "job-failed.json")
	code, _ := r.post(t, body, "X-Gitlab-Token", secretToken, "Idempotency-Key", "key-1", "X-Gitlab-Instance", "https://gitlab.example.org/")
	if code != 202 || len(r.queue.records) != 1 {
		t.Fatalf("answer is %d, stored are %v", code, r.queue.ids())
	}
	want, err := webhook.Decode(body, gitlabURL)
	if err != nil {
		t.Fatal(err)
	}
	want.Meta.ID, want.Meta.Source, want.Meta.ReceivedAt = "key-1", event.SourceWebhook, clock().UTC()
	record := r.queue.records[0]
	var got event.Event
	if err := stdjson.Unmarshal(record.Body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored event differs (- want, + got):\n%s", diff)
	}
	record.Body = nil
	if diff := cmp.Diff(store.Record{ID: "event:" + gitlabURL + ":key-1", Kind: event.RecordEvent}, record); diff != "" {
		t.Errorf("record differs (- want, + got):\n%s", diff)
	}
}

// TestWebhookRecordID pins by which id two deliveries are duplicates.
func TestWebhookRecordID(t *testing.T) {
	job := fixture(t, "job-failed.json")
	hash := fmt.Sprintf("sha256:%x", sha256.Sum256(job))
	long := strings.Repeat("k", 300)
	signature := sign(signingToken, "signed-id", vectorTime, job)
	const here = "event:" + gitlabURL + ":"
	cases := []struct {
		name   string
		header []string
		id     string
	}{
		{"nothing", nil, here + hash},
		{"idempotency key", []string{"Idempotency-Key", "a"}, here + "a"},
		{"webhook id", []string{"webhook-id", "b"}, here + "b"},
		{"both", []string{"Idempotency-Key", "a", "webhook-id", "b"}, here + "a"},
		{
			"both, and the signature covers the webhook id",
			[]string{"Idempotency-Key", "a", "webhook-id", "signed-id", "webhook-timestamp", "1744578123", "webhook-signature", signature},
			here + "signed-id",
		},
		{"unusable key", []string{"Idempotency-Key", long}, here + hash},
		{"another instance", []string{"Idempotency-Key", "a", "X-Gitlab-Instance", "https://gitlab.example.org"}, here + "a"},
		{"instance that is none", []string{"Idempotency-Key", "a", "X-Gitlab-Instance", "gitlab.example.org"}, here + "a"},
		{"instance with a password", []string{"Idempotency-Key", "a", "X-Gitlab-Instance", "https://u:p@gitlab.example.org"}, here + "a"},
		{"new for every request", []string{"X-Gitlab-Webhook-UUID", "c", "X-Gitlab-Event-UUID", "d"}, here + hash},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(cfg *webhook.Config) { cfg.SigningTokens = []string{signingToken} })
			for _, want := range []int{202, 200} {
				if code, answer := r.post(t, job, append(c.header, "X-Gitlab-Token", secretToken)...); code != want {
					t.Fatalf("answer is %d %s, want %d", code, answer, want)
				}
			}
			if diff := cmp.Diff([]string{c.id}, r.queue.ids()); diff != "" {
				t.Errorf("stored ids differ (- want, + got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"job duplicate 1", "job stored 1"}, r.counted(t)); diff != "" {
				t.Errorf("deliveries are counted otherwise (- want, + got):\n%s", diff)
			}
		})
	}
}

// TestWebhookUsesTheRulesInForce: rules change while the server runs.
func TestWebhookUsesTheRulesInForce(t *testing.T) {
	wanted := false
	r := newRig(t, func(c *webhook.Config) {
		c.Rules = wants(func(e event.Event) bool {
			return wanted && e.Meta.Kind == event.KindPipeline && e.Pipeline.Status == "failed"
		})
	})
	body := fixture(t, "pipeline-failed.json")
	if code, _ := r.post(t, body, "X-Gitlab-Token", secretToken); code != 200 {
		t.Errorf("before the change the answer is %d, want 200", code)
	}
	wanted = true
	if code, _ := r.post(t, body, "X-Gitlab-Token", secretToken); code != 202 {
		t.Errorf("after the change the answer is %d, want 202", code)
	}
}

// TestWebhookPassesTheAttempt: the rules know which attempt ended, before the
// body is read as a whole; 0 where the hook does not say.
func TestWebhookPassesTheAttempt(t *testing.T) {
	failed := string(fixture(t, "job-failed.json"))
	for body, want := range map[string]int{
		failed: 2,
		strings.Replace(failed, `"retries_count": 1,`, `"retries_count": 0,`, 1): 1,
		strings.Replace(failed, `"retries_count": 1,`, ``, 1):                    0,
	} {
		got := -1
		r := newRig(t, func(c *webhook.Config) {
			c.Rules = wants(func(e event.Event) bool { got = e.Job.Attempt; return false })
		})
		if code, _ := r.post(t, []byte(body), "X-Gitlab-Token", secretToken); code != 200 || got != want {
			t.Errorf("the rules get attempt %d, and the response is %d; want attempt %d", got, code, want)
		}
	}
}

// TestWebhookStoresWhatHungUp: a sender that does not wait for the answer
// will not send again.
func TestWebhookStoresWhatHungUp(t *testing.T) {
	r := newRig(t, func(cfg *webhook.Config) {
		cfg.Queue.(*memoryQueue).fail = func(ctx context.Context) error { return ctx.Err() }
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequest(http.MethodPost, webhook.Path, bytes.NewReader(fixture(t, "job-failed.json"))).WithContext(gone)
	req.Header.Set("X-Gitlab-Token", secretToken)
	r.handler.ServeHTTP(httptest.NewRecorder(), req)
	if stored := len(r.queue.ids()); stored != 1 {
		t.Errorf("%d events are stored, want 1", stored)
	}
}

// TestWebhookBodySizes speaks HTTP by hand, because a client of the library
// neither lies about lengths nor reads an answer while it still sends.
func TestWebhookBodySizes(t *testing.T) {
	const head = "POST " + webhook.Path + " HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: " + secretToken + "\r\n"
	megabyte := strings.Repeat(" ", 1<<20)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(megabyte), megabyte)
	job := string(fixture(t, "job-failed.json"))
	cases := []struct {
		name string
		send []string
		code int
	}{
		{"30 MB announced", append([]string{head, "Content-Length: 31457280\r\n\r\n"}, repeat(megabyte, 30)...), 413},
		{"30 MB announced and never sent", []string{head, "Content-Length: 31457280\r\n\r\n"}, 413},
		{"30 MB in chunks", append([]string{head, "Transfer-Encoding: chunked\r\n\r\n"}, repeat(chunk, 30)...), 413},
		{"24 MB of blanks and a job in chunks", append(append([]string{head, "Transfer-Encoding: chunked\r\n\r\n"}, repeat(chunk, 24)...), fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(job), job)), 202},
		{"less than announced", []string{head, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(job)+1), job}, 400},
		{"chunks cut off", []string{head, "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s", len(job), job[:len(job)/2])}, 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a server that refuses a body waits half a second
			r := newRig(t, nil)
			conn, err := net.Dial("tcp", r.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			var sender sync.WaitGroup
			sender.Go(func() {
				for _, part := range c.send {
					if _, err := io.WriteString(conn, part); err != nil {
						return // the server had heard enough
					}
				}
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Log(err)
				}
			})
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if code, answer, err := read(resp); err != nil || code != c.code {
				t.Errorf("answer is %d %s (%v), want %d", code, answer, err, c.code)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			sender.Wait()
		})
	}
}

func repeat(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// TestWebhookAtOnce sends many deliveries at once, each twice, and checks
// that each was stored once and whole.
func TestWebhookAtOnce(t *testing.T) {
	const deliveries = 64
	r := newRig(t, nil)
	var senders sync.WaitGroup
	for i := range 2 * deliveries {
		senders.Go(func() {
			id := i%deliveries + 1
			body := fmt.Sprintf(`{"object_kind":"build","build_id":%d,"project_id":204,"build_name":%q}`, id, strings.Repeat(strconv.Itoa(id), 100*id))
			code, answer, err := r.send([]byte(body), "X-Gitlab-Token", secretToken)
			if err != nil || code != 202 && code != 200 {
				t.Errorf("answer is %d %s (%v)", code, answer, err)
			}
		})
	}
	senders.Wait()
	if diff := cmp.Diff([]string{fmt.Sprintf("job duplicate %d", deliveries), fmt.Sprintf("job stored %d", deliveries)}, r.counted(t)); diff != "" {
		t.Errorf("deliveries are counted otherwise (- want, + got):\n%s", diff)
	}
	for _, record := range r.queue.records {
		var e event.Event
		if err := stdjson.Unmarshal(record.Body, &e); err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat(strconv.FormatInt(e.Job.ID, 10), int(100*e.Job.ID)); e.Job.Name != want {
			t.Errorf("job %d was stored with the name of another", e.Job.ID)
		}
	}
}
