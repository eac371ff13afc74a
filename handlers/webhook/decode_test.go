package webhook_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

const gitlabURL = "https://gitlab.example.com"

// fixtures returns the paths of all hook bodies in testdata.
func fixtures(tb testing.TB) []string {
	tb.Helper()
	all, err := filepath.Glob("testdata/*.json")
	if err != nil {
		tb.Fatal(err)
	}
	var bodies []string
	for _, path := range all {
		if !strings.HasSuffix(path, ".golden.json") {
			bodies = append(bodies, path)
		}
	}
	if len(bodies) == 0 {
		tb.Fatal("no fixtures")
	}
	return bodies
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// TestDecode pins the event of each fixture; its name says what is special.
func TestDecode(t *testing.T) {
	for _, path := range fixtures(t) {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			e, err := webhook.Decode(fixture(t, name+".json"), gitlabURL)
			if err != nil {
				t.Fatal(err)
			}
			got, err := stdjson.MarshalIndent(e, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			if *update {
				if err := os.WriteFile(filepath.Join("testdata", name+".golden.json"), got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(fixture(t, name+".golden.json")), string(got)); diff != "" {
				t.Errorf("event differs from the golden file (- golden, + decoded):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	job := string(fixture(t, "job-failed.json"))
	cases := []struct {
		name, body string
		want       error
		text       string
	}{
		{"empty", ``, webhook.ErrNotJSON, ""},
		{"blank", " \n", webhook.ErrNotJSON, ""},
		{"form", `object_kind=build&build_id=1`, webhook.ErrNotJSON, ""},
		{"cut off", job[:len(job)/2], webhook.ErrNotJSON, ""},
		{"cut off at the end", strings.TrimSuffix(strings.TrimSpace(job), "}"), webhook.ErrNotJSON, ""},
		{"broken in a skipped part", strings.Replace(job, `"visibility_level": 0`, `"visibility_level": 0x`, 1), webhook.ErrNotJSON, ""},
		{"bad escape in a skipped part", strings.Replace(job, "Carts", `\Carts`, 1), webhook.ErrNotJSON, ""},
		{"two bodies", job + job, webhook.ErrNotJSON, ""},
		{"nested without end", strings.Repeat("[", 1<<20), webhook.ErrNotJSON, ""},

		{"null", `null`, webhook.ErrNoInterest, ""},
		{"a number", `7`, webhook.ErrNoInterest, ""},
		{"a list", `[` + job + `]`, webhook.ErrNoInterest, ""},
		{"custom template", `{"text": "pipeline failed"}`, webhook.ErrNoInterest, ""},
		{"push", `{"object_kind": "push", "project_id": 204}`, webhook.ErrNoInterest, ""},
		{"kind of wrong type", `{"object_kind": ["build"], "build_id": 1, "project_id": 204}`, webhook.ErrNoInterest, ""},

		{"no build_id", `{"object_kind": "build", "project_id": 204}`, nil, `field "build_id": expected the job's id, a whole number from 1`},
		{"build_id with a fraction", `{"object_kind": "build", "build_id": 1.5, "project_id": 204}`, nil, `field "build_id": expected the job's id, a whole number from 1`},
		{"build_id too large", `{"object_kind": "build", "build_id": 92233720368547758080, "project_id": 204}`, nil, `field "build_id": expected the job's id, a whole number from 1`},
		{"no project_id", `{"object_kind": "build", "build_id": 90412}`, nil, `field "project_id": expected the project's id, a whole number from 1`},
		{"no pipeline id", `{"object_kind": "pipeline", "project": {"id": 204}}`, nil, `field "object_attributes.id": expected the pipeline's id, a whole number from 1`},
		{"pipeline of no project", `{"object_kind": "pipeline", "object_attributes": {"id": 15533}}`, nil, `field "project.id": expected the project's id, a whole number from 1, or its path_with_namespace`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, err := webhook.Decode([]byte(c.body), gitlabURL)
			field := (*webhook.FieldError)(nil)
			switch {
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("error is %v, want %v", err, c.want)
			case c.want == nil && (!errors.As(err, &field) || err.Error() != c.text):
				t.Errorf("error is %v, want a FieldError: %s", err, c.text)
			}
			if diff := cmp.Diff(event.Event{}, e); diff != "" {
				t.Errorf("there is an event beside the error:\n%s", diff)
			}
		})
	}
}

// TestDecodeProjectPath: old Job Hooks have no path, only an address, which
// may lie below the path of the instance itself.
func TestDecodeProjectPath(t *testing.T) {
	cases := []struct{ homepage, instance, path, namespace string }{
		{"https://gitlab.example.com/platform/shop/checkout", "https://gitlab.example.com", "platform/shop/checkout", "platform/shop"},
		{"https://gitlab.example.com/platform/shop/checkout/", "https://gitlab.example.com/", "platform/shop/checkout", "platform/shop"},
		{"https://example.com/gitlab/shop/checkout", "https://example.com/gitlab", "shop/checkout", "shop"},
		{"http://10.0.0.7:3005/shop/checkout", "https://gitlab.example.com", "shop/checkout", "shop"},
		{"http://10.0.0.7/shop/checkout", "", "shop/checkout", "shop"},
		{"", "https://gitlab.example.com", "", ""},
		{"::", "https://gitlab.example.com", "", ""},
	}
	for _, c := range cases {
		body, err := stdjson.Marshal(map[string]any{
			"object_kind": "build", "build_id": 90412, "project_id": 204,
			"repository": map[string]any{"homepage": c.homepage},
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := webhook.Decode(body, c.instance)
		if err != nil {
			t.Fatal(err)
		}
		got := [2]string{e.Project.Path, e.Project.Namespace}
		if want := [2]string{c.path, c.namespace}; got != want {
			t.Errorf("path and namespace of %q on %q are %q, want %q", c.homepage, c.instance, got, want)
		}
	}
}

// TestDecodeCopies: bodies lie in buffers that the next delivery overwrites.
func TestDecodeCopies(t *testing.T) {
	for _, path := range fixtures(t) {
		body := fixture(t, filepath.Base(path))
		want, err := webhook.Decode(bytes.Clone(body), gitlabURL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := webhook.Decode(body, gitlabURL)
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			body[i] = '#'
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the event changed with its body:\n%s", path, diff)
		}
	}
}

// TestDecodeBounds: who pushes may write as much as a commit can have; each decision keeps
// the beginning of it.
func TestDecodeBounds(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	e, err := webhook.Decode([]byte(`{"object_kind":"build","build_id":7,"build_status":"failed","project_id":1,"commit":{"id":3,"sha":"8f3a2c1d","message":"`+long+`"}}`), gitlabURL)
	if err != nil {
		t.Fatal(err)
	}
	if c := e.Commit; len(c.Message) < 30_000 || len(c.Message) > 33_000 || len(c.Title) > 1100 || !strings.HasPrefix(long, strings.TrimSuffix(c.Message, "…")) {
		t.Errorf("the message has %d bytes, and the title %d", len(c.Message), len(c.Title))
	}
}

// TestDecodeDates: a time survives in each form in which GitLab writes it.
func TestDecodeDates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(1_300_000_000, 4_000_000_000).Draw(t, "seconds")
		offset := rapid.IntRange(-14*4, 14*4).Draw(t, "quarters of an hour") * 15 * 60
		want := time.Unix(seconds, 0).In(time.FixedZone("", offset))
		layout := rapid.SampledFrom([]string{
			"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 -0700", "2006-01-02T15:04:05.000Z", time.RFC3339, "2006-01-02T15:04:05.000-0700",
		}).Draw(t, "layout")
		if strings.HasSuffix(layout, "UTC") || strings.HasSuffix(layout, "Z") {
			want = want.UTC()
		}
		text := want.Format(layout)
		e, err := webhook.Decode([]byte(`{"object_kind":"build","build_id":1,"project_id":1,"build_started_at":"`+text+`"}`), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Job.StartedAt; got != want.UTC() {
			t.Fatalf("%s was read as %v, want %v", text, got, want.UTC())
		}
	})
}

// FuzzDecode checks that Decode never panics, that it accepts a body as JSON exactly
// if the standard library does, and that an event can be stored and read again
// without loss.
func FuzzDecode(f *testing.F) {
	for _, path := range fixtures(f) {
		f.Add(fixture(f, filepath.Base(path)))
	}
	f.Add([]byte(`{"object_kind":"build","build_id":1,"project_id":1,"build_duration":"1e999","build_created_at":"0000-01-01 00:00:00 +0200"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := webhook.Decode(body, gitlabURL)
		if valid := stdjson.Valid(body); valid == errors.Is(err, webhook.ErrNotJSON) {
			t.Fatalf("the body is JSON: %v, but Decode says %v", valid, err)
		}
		if err != nil {
			return
		}
		if d := e.Job.Duration; math.IsNaN(d) || math.IsInf(d, 0) {
			t.Fatalf("duration is %v", d)
		}
		stored, err := stdjson.Marshal(e)
		if err != nil {
			t.Fatalf("the event can't be stored: %v", err)
		}
		var again event.Event
		if err := stdjson.Unmarshal(stored, &again); err != nil {
			t.Fatalf("the stored event can't be read: %v", err)
		}
		restored, err := stdjson.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stored, restored) {
			t.Fatalf("storing changed the event:\n%s\n%s", stored, restored)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"job-failed", "pipeline-failed", "build-hook-2016"} {
		b.Run(name, func(b *testing.B) {
			body := fixture(b, name+".json")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := webhook.Decode(body, gitlabURL); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
