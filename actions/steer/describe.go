package steer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/follow"
	"github.com/pipesteward/pipesteward/actions/health"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/ledger"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/report/periodic"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// record has the members that bodies of several kinds have in common. A notice has all
// of the event, of the decision and of the outcome.
type record struct {
	event.Outcome
	Notice event.Notice `json:"notice"`
	// Announcement is the key of an announcement that waits as notices do.
	Announcement string `json:"announcement"`
	// Question is set of a notice of a question; Answer of the record of an answer.
	Question *notify.Question `json:"question"`
	Answer   event.Answer     `json:"answer"`
	Waits    event.Wait       `json:"waits"`
}

// Kinds lists the kinds of the queue's records.
var Kinds = []string{
	event.RecordEvent, event.RecordDecision, event.RecordOutcome, event.RecordNotice, event.RecordDigest, event.RecordSweep, follow.RecordKind, breaker.RecordKind, confirm.RecordKind, health.RecordKind, hooks.RecordKind, chatops.RecordKind, periodic.RecordKind, ledger.RecordKind, ledger.TurnKind,
}

// Describe returns what a record is about, and why it waits, by its body. A body that
// can't be read is about nothing.
func Describe(kind string, body []byte) event.Subject {
	switch kind {
	case event.RecordEvent, event.RecordDecision, event.RecordOutcome, event.RecordNotice, follow.RecordKind, confirm.RecordKind, ledger.RecordKind, ledger.TurnKind:
		return describeEvent(kind, body)
	case event.RecordDigest:
		var digest notify.DigestRecord
		if json.Unmarshal(body, &digest) != nil {
			return event.Subject{}
		}
		s := event.Subject{About: "digest to " + digest.String(), Wait: digest.Waits, At: digest.Began}
		if end := digest.End; end != nil {
			s.Project, s.ProjectID, s.Pipeline, s.Ref = end.Event.Project.Path, end.Event.Project.ID, end.Event.Pipeline.ID, end.Event.Pipeline.Ref
			s.About = fmt.Sprintf("message at the end of pipeline %d to %s", s.Pipeline, digest.String())
		}
		return s
	case periodic.RecordKind:
		var due periodic.Record
		if json.Unmarshal(body, &due) != nil {
			return event.Subject{}
		}
		return event.Subject{About: "report " + due.Report, At: due.Due}
	case event.RecordSweep:
		var run struct {
			event.Sweep
			Waits event.Wait `json:"waits"`
		}
		if json.Unmarshal(body, &run) != nil {
			return event.Subject{}
		}
		return event.Subject{About: "run of the schedule rule " + run.Rule, Rule: run.Rule, Action: event.VerbErase, Wait: run.Waits, At: run.Began}
	case breaker.RecordKind:
		var storm breaker.Record
		if json.Unmarshal(body, &storm) != nil {
			return event.Subject{}
		}
		return event.Subject{About: "storm of " + storm.Class + " failures", Wait: event.Wait{For: event.WaitStorm, Reason: "its end, which is announced"}, At: storm.Opened}
	case health.RecordKind:
		var trouble health.Record
		if json.Unmarshal(body, &trouble) != nil {
			return event.Subject{}
		}
		return event.Subject{About: "GitLab can't be used", Wait: event.Wait{For: event.WaitGitLab, Reason: trouble.Reason}, At: trouble.Started}
	case hooks.RecordKind:
		var change hooks.Record
		if json.Unmarshal(body, &change) != nil {
			return event.Subject{}
		}
		return event.Subject{About: change.String(), At: change.Since}
	case chatops.RecordKind:
		var request struct {
			chatops.Request
			Decision string     `json:"decision"`
			Waits    event.Wait `json:"waits"`
		}
		if json.Unmarshal(body, &request) != nil {
			return event.Subject{}
		}
		what := "command of "
		if request.Button != nil {
			what = "button " + request.Button.Does + ", pressed by "
		}
		return event.Subject{About: what + cmp.Or(request.By.Name, request.By.UserID), Decision: request.Decision, Wait: request.Waits, At: request.ReceivedAt}
	}
	return event.Subject{}
}

func describeEvent(kind string, body []byte) event.Subject {
	var r record
	if json.Unmarshal(body, &r) != nil {
		return event.Subject{}
	}
	s := event.Subject{
		Decision: r.ID, Rule: r.Rule, Action: r.Action.Verb, Project: r.Project.Path, ProjectID: r.Project.ID, Ref: cmp.Or(r.Job.Ref, r.Pipeline.Ref),
		Pipeline: r.Pipeline.ID, Job: r.Job.ID, JobName: r.Job.Name, Wait: r.Waits,
	}
	target := r.Job.Name
	if r.Job.ID == 0 {
		target = fmt.Sprintf("pipeline %d", r.Pipeline.ID)
	}
	switch kind {
	case event.RecordEvent:
		s.About, s.At = strings.TrimSpace(target+" "+cmp.Or(r.Job.Status, r.Pipeline.Status)), r.Meta.ReceivedAt
	case event.RecordDecision:
		s.About, s.At = words.ActionOf(&r.Decision), r.DecidedAt
		if r.Requested() {
			s.About += ", requested by " + r.By.String()
		}
	case event.RecordOutcome:
		s.About, s.At = words.ActionOf(&r.Decision)+": "+r.Result, r.At
	case event.RecordNotice:
		s.At = r.At
		switch {
		case r.Question != nil:
			s.About = "question about the " + words.ActionOf(&r.Decision) + ", to " + r.Notice.String()
		case r.Announcement != "" && s.Pipeline != 0:
			s.Decision = ""
			s.About = fmt.Sprintf("message at the end of pipeline %d to %s", s.Pipeline, r.Notice.String())
		case r.Announcement != "":
			s.About = "announcement to " + r.Notice.String()
		default:
			s.About = words.ActionOf(&r.Decision) + ": " + r.Result + ", to " + r.Notice.String()
		}
	case confirm.RecordKind:
		s.About, s.At = "answer to the question about the "+words.ActionOf(&r.Decision), r.Answer.At
	case ledger.RecordKind:
		s.About, s.At = "result of a retry of "+target+": "+r.Job.Status, r.At
	case ledger.TurnKind:
		s.About, s.At = "announcement that the retries of "+target+" are skipped from now on, or made again", r.At
	case follow.RecordKind:
		s.About, s.At = "is "+target+", which failed again, retried once more?", r.At
		s.Wait = event.Wait{For: event.WaitSchedule, Reason: cmp.Or(r.Waits.Reason, "GitLab, or a rule for pipelines, may retry it")}
	}
	return s
}
