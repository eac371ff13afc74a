// Package unknown keeps the failed jobs that no failure class covers, for people to look at:
// grouped by what their logs say, with how many there were and how often a retry helped.
//
// By default, no log is read for it: a job is kept if a rule has read its log anyway, for
// job.failure_class, log() or a retry's budget; of the others, that their log was not read.
// Rule files may have the log of each failed job read (`every_failure`). What is kept is one
// line, without secrets.
//
//	event of a job ──► Failed, Retried ──► one entry each in the store's log, by the job's id
//	                                                  │
//	`unknown` ◄── groups of their lines ◄── Clusters ─┘
//
// An entry has an id of its own, so a job whose event is worked on again, after a crash or
// on another replica, is kept once; and it is written before the event is done, so
// none is lost. The store drops the oldest entries beyond maxEntries, and those that are
// older than its retention.
// The groups are made when somebody looks, from the oldest entry on.
package unknown
