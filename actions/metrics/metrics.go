// Package metrics counts decisions, rule errors, requests and notifications for
// Prometheus.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Metrics counts the work of the program.
type Metrics struct {
	decisions  *prometheus.CounterVec
	ruleErrors *prometheus.CounterVec
	latency    prometheus.Histogram
	requests   *prometheus.CounterVec
	freed      prometheus.Counter

	retries    *prometheus.CounterVec
	minutes    *prometheus.CounterVec
	unreadable prometheus.Counter

	notifications *prometheus.CounterVec
}

// New returns metrics that are registered.
func New(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_decisions_total",
			Help: "Decisions by what came of them.",
		}, []string{"rule", "action", "outcome"}),
		ruleErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_rule_errors_total",
			Help: "Expressions that failed on an event, so that their rule did not fire.",
		}, []string{"rule"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pipesteward_event_to_action_seconds",
			Help:    "From an event's arrival to the action's call, the rule's own delay left out.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_gitlab_requests_total",
			Help: "Requests to GitLab by endpoint and HTTP status; 0 is no answer.",
		}, []string{"endpoint", "code"}),
		freed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pipesteward_freed_bytes_total",
			Help: "What erased jobs took: their logs and artifacts.",
		}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_retries_total",
			Help: "Retries whose new run has ended, by the failure class of the run before and by whether the new run passed or failed. No rule: GitLab or a person made the retry. None with `learning: off`.",
		}, []string{"rule", "class", "result"}),
		minutes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_retry_minutes_total",
			Help: "Minutes that the new runs of those retries took, not the runs that failed before.",
		}, []string{"rule", "class", "result"}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pipesteward_ledger_unreadable_total",
			Help: "Reads of what was learned of retries that could not be decoded: nothing was known then.",
		}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_notifications_total",
			Help: "Notifications by receiver and what came of them: sent, deferred (tried again later), waiting (until a person has mended something; counted once), failed, muted, gathered (in a digest, which counts as one), or no_receiver (there is no Slack token, or no such receiver).",
		}, []string{"receiver", "result"}),
	}
	r.MustRegister(m.notifications, m.decisions, m.ruleErrors, m.latency, m.requests, m.freed, m.retries, m.minutes, m.unreadable)
	return m
}

// GitLabRequest counts a request to GitLab; code 0 means that none answered.
func (m *Metrics) GitLabRequest(endpoint string, code int) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
}

// Latency observes the time from an event's arrival to a request, the rule's own delay
// left out.
func (m *Metrics) Latency(d time.Duration) { m.latency.Observe(d.Seconds()) }

// Outcome counts an outcome. The jobs of a sweep are counted one by one, by Swept.
func (m *Metrics) Outcome(o event.Outcome) {
	if o.Sweep.ID != "" {
		return
	}
	m.decisions.WithLabelValues(o.Rule, o.Action.Verb, o.Result).Inc()
	m.freed.Add(float64(o.Freed))
}

// Swept counts jobs that a sweep has erased, or would have, and those in which it
// failed. The decisions that it queues are counted by their outcomes.
func (m *Metrics) Swept(rule, verb string, dryRun bool, counts event.SweepCounts) {
	result := event.ResultDone
	if dryRun {
		result = event.ResultDryRun
	} else {
		m.freed.Add(float64(counts.Freed))
	}
	m.decisions.WithLabelValues(rule, verb, result).Add(float64(counts.Erased))
	m.decisions.WithLabelValues(rule, verb, event.ResultFailed).Add(float64(counts.Failed))
}

// Retry counts a retry whose new run has ended after so many seconds.
func (m *Metrics) Retry(rule, class string, passed bool, seconds float64) {
	result := "failed"
	if passed {
		result = "passed"
	}
	m.retries.WithLabelValues(rule, class, result).Inc()
	m.minutes.WithLabelValues(rule, class, result).Add(max(0, seconds) / 60)
}

// UnreadableLedger counts statistics of retries that can't be read.
func (m *Metrics) UnreadableLedger() { m.unreadable.Inc() }

// RuleError counts an expression of a rule that failed.
func (m *Metrics) RuleError(rule string) { m.ruleErrors.WithLabelValues(rule).Inc() }

// Notification counts a notification.
func (m *Metrics) Notification(receiver, result string) {
	m.notifications.WithLabelValues(receiver, result).Inc()
}
