package actionstest

import (
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// Stuck is a failure reason that a retry may fix.
const Stuck = "stuck_or_timeout_failure"

// RetryRules is a rule file that retries stuck jobs and notifies #ci.
const RetryRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure", "runner_system_failure")
    actions:
      - retry: {max_attempts: 3, delay: 30s}
    notify:
      - when: [done, gave_up, failed, skipped]
        text: "{{ job.name }}, attempt {{ job.attempt }}"
`

// FailedRules is a rule file that retries failed jobs at once; %s is for `limits` and the like.
const FailedRules = `
version: 1
%s
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry: {max_attempts: 9, backoff: constant}]}
`

// DeliverAgain puts an event into the queue as catch-up --since does.
func (h *Harness) DeliverAgain(body []byte) {
	h.Helper()
	h.Enqueue(body, event.SourceCatchUp, h.Now())
}

// DeadRecords counts the records that were buried.
func (h *Harness) DeadRecords() int {
	d, err := h.DB.Depth(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return d.Dead
}

// Load puts other rules in force, as a reload of the rule file or a restart does.
func (h *Harness) Load(ruleFile string, o rulefile.Options) {
	h.Helper()
	loaded, err := rulefile.Load(o, rulefile.Source{Name: "rules.yaml", Data: []byte(ruleFile)})
	if err != nil {
		h.Fatal(err)
	}
	h.Rules.Store(loaded)
}

// Pauses returns the pauses that the program shares with its replicas.
func (h *Harness) Pauses() pause.Pauses {
	return pause.Pauses{Store: h.DB, Now: h.Now, Log: slog.New(slog.DiscardHandler)}
}

// Mutes returns the mutes that the program shares with its replicas.
func (h *Harness) Mutes() pause.Mutes {
	return pause.Mutes{Store: h.DB, Now: h.Now, Log: slog.New(slog.DiscardHandler)}
}

// MustRetry retries a job as a person does, and returns the job that runs then.
func (h *Harness) MustRetry(job int64) gitlabtest.Job {
	h.Helper()
	again, err := h.GitLab.Retry(job)
	if err != nil {
		h.Fatal(err)
	}
	return again
}

// PipelineBody returns the body of the hook of the job's pipeline.
func (h *Harness) PipelineBody(job gitlabtest.Job) []byte {
	return h.GitLab.PipelineHookBody(job.PipelineID)
}

// Pass lets time pass in steps. In each, the runners work and check GitLab's health.
func (h *Harness) Pass(span, step time.Duration, runners ...*actions.Runner) {
	h.Helper()
	if runners == nil {
		runners = []*actions.Runner{h.Runner}
	}
	for end := h.Now().Add(span); h.Now().Before(end); {
		for _, r := range runners {
			if err := r.Health.Check(h.Context()); err != nil {
				h.Fatal(err)
			}
			if _, err := h.Drain(r); err != nil {
				h.Fatal(err)
			}
		}
		h.Clock.Advance(step)
	}
}

// Posts returns the texts that were posted to Slack, in order.
func (h *Harness) Posts() []string {
	var texts []string
	for _, p := range h.Slack.Posts() {
		texts = append(texts, p.Plain())
	}
	return texts
}
