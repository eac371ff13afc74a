package gitlab_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// serveFile answers every request with a file of testdata.
func serveFile(t testing.TB, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

// Each version of the API's JSON of a job is decoded.
func TestJobJSON(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	tests := []struct {
		file string
		want gitlab.Job
	}{
		{"job.json", gitlab.Job{
			ProjectID: 22,
			Details: event.Details{
				Job: event.Job{
					ID: 7, Name: "teaspoon", Stage: "test", Status: "failed", Attempt: 1,
					FailureReason: "script_failure", FailureClass: "script", AllowFailure: true,
					Ref: "main", URL: "https://gitlab.example.com/foo/bar/-/jobs/7",
					CreatedAt: at("2026-11-20T15:51:21.802Z"), StartedAt: at("2026-11-20T17:54:27.722Z"), FinishedAt: at("2026-11-20T17:54:27.895Z"),
					Duration: 0.173, QueuedDuration: 0.01,
					Runner: event.Runner{ID: 32, Description: "shared-1", Type: "instance_type", Shared: true},
				},
				TagList:  []string{"docker runner", "ubuntu18"},
				Coverage: 85.5,
				Artifacts: []event.Artifact{
					{FileType: "archive", FileFormat: "zip", Filename: "artifacts.zip", Size: 1000},
					{FileType: "trace", FileFormat: "raw", Filename: "job.log", Size: 1500},
				},
				ArtifactsExpireAt: at("2026-12-20T17:54:27.895Z"),
				ErasedAt:          at("2026-11-21T08:00:00Z"),
			},
			Pipeline: event.Pipeline{
				ID: 6, IID: 3, Ref: "main", SHA: "0ff3ae198f8601a285adcf5c0fff204ee6fba5fd", Status: "failed", Source: "push",
				URL: "https://gitlab.example.com/foo/bar/-/pipelines/6", CreatedAt: at("2026-11-20T15:50:16.123Z"),
			},
			User: event.User{ID: 1, Username: "root", Name: "Administrator", Email: "admin@example.com"},
			Commit: event.Commit{
				SHA: "0ff3ae198f8601a285adcf5c0fff204ee6fba5fd", Title: "Test the CI integration.", Message: "Test the CI integration.\n\nIt is new.\n",
				AuthorName: "Administrator", AuthorEmail: "admin@example.com",
				URL: "https://gitlab.example.com/foo/bar/-/commit/0ff3ae198f8601a285adcf5c0fff204ee6fba5fd",
			},
		}},
		{"job-numbers-and-dates-as-other-texts.json", gitlab.Job{
			ProjectID: 1,
			Details: event.Details{
				Job: event.Job{
					ID: 9007199254740993, Name: "teaspoon", Status: "success", Attempt: 1,
					CreatedAt: at("2026-11-20T15:51:21Z"), StartedAt: at("2026-11-20T15:54:27Z"), FinishedAt: at("2026-11-20T16:54:27.5Z"),
					Duration: 97.5, QueuedDuration: 12,
				},
				Coverage:  85.5,
				Artifacts: []event.Artifact{{FileType: "trace", Size: 1500}},
			},
			Pipeline: event.Pipeline{ID: 6},
		}},
		{"job-fields-of-wrong-types.json", gitlab.Job{
			ProjectID: 1,
			Details: event.Details{Job: event.Job{
				ID: 7, Status: "failed", Attempt: 1, FailureReason: "a_reason_of_tomorrow", FailureClass: "unknown", Ref: "main",
			}},
		}},
		{"job-nulls.json", gitlab.Job{
			ProjectID: 1,
			Details:   event.Details{Job: event.Job{ID: 7, Name: "teaspoon", Status: "pending", Attempt: 1}},
		}},
		{"job-id-only.json", gitlab.Job{
			ProjectID: 1,
			Details:   event.Details{Job: event.Job{ID: 7, Attempt: 1}},
		}},
		{"job-failure-reason-though-successful.json", gitlab.Job{
			ProjectID: 1,
			Details:   event.Details{Job: event.Job{ID: 7, Status: "success", Attempt: 1}},
		}},
		{"job-old-without-artifacts-list.json", gitlab.Job{
			ProjectID: 1,
			Details: event.Details{
				Job:       event.Job{ID: 7, Status: "success", Tag: true, Attempt: 1},
				Artifacts: []event.Artifact{{FileType: "archive", Filename: "artifacts.zip", Size: 1000}},
			},
			Pipeline: event.Pipeline{ID: 6, Tag: true},
		}},
		{"job-manual.json", gitlab.Job{
			ProjectID: 1,
			Details:   event.Details{Job: event.Job{ID: 7, Status: "manual", Manual: true, Attempt: 1}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			c, _ := newClient(t, serveFile(t, tt.file))
			got, err := c.Job(t.Context(), 1, 7)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestBridgesJSON(t *testing.T) {
	c, _ := newClient(t, serveFile(t, "bridges.json"))
	got, err := c.Bridges(t.Context(), 1, 6)
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Bridge{
		{
			ID: 8, Name: "deploy", Stage: "deploy", Status: "success", URL: "https://gitlab.example.com/foo/bar/-/jobs/8",
			Downstream: event.Downstream{
				ID: 5, ProjectID: 2, Ref: "main", SHA: "f62a4b2fb89754372a346f24659212eb8da13601", Status: "running",
				URL: "https://gitlab.example.com/foo/client/-/pipelines/5",
			},
		},
		{ID: 7, Name: "notify", Stage: "deploy", Status: "failed", AllowFailure: true, FailureReason: "downstream_pipeline_creation_failed"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Newer servers send little more than ids; a server may send nothing.
func TestAllowedAgentsJSON(t *testing.T) {
	tests := []struct {
		file string
		want gitlab.AllowedAgents
	}{
		{"allowed-agents-13.json", gitlab.AllowedAgents{
			Agents: []gitlab.Agent{{ID: 1, ConfigProject: event.Project{ID: 1, Path: "namespace1/project1", Name: "project1", Namespace: "namespace1"}}},
			Job:    event.Job{ID: 1, Name: "test", Stage: "test", Attempt: 1},
			Pipeline: event.Pipeline{
				ID: 1, Ref: "main", SHA: "b83d6e391c22777fca1ed3012fce84f633d7fed0", Status: "pending",
				URL: "https://gitlab.example.com/namespace1/project1/-/pipelines/1", CreatedAt: time.Date(2026, 3, 26, 14, 51, 51, 107e6, time.UTC),
			},
			Project: event.Project{ID: 1, Path: "namespace1/project1", Name: "project1", Namespace: "namespace1"},
			User:    event.User{ID: 2, Username: "user2", Name: "John Doe3"},
		}},
		{"allowed-agents-19.json", gitlab.AllowedAgents{
			Agents:   []gitlab.Agent{{ID: 1, ConfigProject: event.Project{ID: 1}}},
			Job:      event.Job{ID: 1, Attempt: 1},
			Pipeline: event.Pipeline{ID: 1},
			Project:  event.Project{ID: 1},
			User:     event.User{ID: 2, Username: "user2"},
		}},
		{"empty-object.json", gitlab.AllowedAgents{Job: event.Job{Attempt: 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			c, _ := newClient(t, serveFile(t, tt.file))
			got, err := c.AllowedAgents(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
