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
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_notifications_total",
			Help: "Notifications by receiver and what came of them: sent, deferred (tried again later), waiting (until a person has mended something; counted once), failed, muted, gathered (in a digest, which counts as one), or no_receiver (there is no Slack token, or no such receiver).",
		}, []string{"receiver", "result"}),
	}
	r.MustRegister(m.notifications, m.decisions, m.ruleErrors, m.latency, m.requests, m.freed)
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

// RuleError counts an expression of a rule that failed.
func (m *Metrics) RuleError(rule string) { m.ruleErrors.WithLabelValues(rule).Inc() }

// Notification counts a notification.
func (m *Metrics) Notification(receiver, result string) {
	m.notifications.WithLabelValues(receiver, result).Inc()
}
