// Package catchup finds events that no webhook delivered, because a delivery
// failed, the process was down, or GitLab sends none (manual and trigger jobs).
//
//	Known        the projects that ever sent an event
//	  │ for each, under a claim that one replica has
//	  ▼
//	failed deliveries of its webhooks   replayed from GitLab's own list
//	jobs and pipelines that ended       since the project's watermark
//	  │ that no event reported, and that a rule in force at the time can want
//	  ▼ Put
//	the queue: decisions have keys by what they are about, so that an event that
//	arrives twice is decided once
package catchup
