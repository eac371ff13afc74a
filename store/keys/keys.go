// Package keys has all keys and record ids of the store: one function for each
// family. Families of the same use have no key in common. The table in
// deploy/README.md is generated from Families. All families stand in one file, however long.
package keys

import (
	"fmt"
	"time"
)

// Use is the part of the store that a key is for. The same key may have two uses.
type Use string

// The uses.
const (
	Record Use = "record" // in the queue; the key is its id
	Claim  Use = "claim"
	Rate   Use = "rate" // and its hold
	Tally  Use = "tally"
	Value  Use = "value"
	Log    Use = "log"
)

// Family is a set of keys.
type Family struct {
	Use     Use
	Pattern string // of the keys, with the variable parts in <>
	Owner   string // the package that writes it
	TTL     string // its time to live, for operators
	Content string
}

// untilDone is the time to live of a record.
const untilDone = "until it is done; its id for 72h"

// Families lists all families, by use and pattern.
var Families = []Family{
	{Record, "event:<instance>:<id>", "handlers/webhook, actions/catchup, actions/ownpipeline", untilDone, "an event, by its delivery's key or by what was found in GitLab"},
	{Record, "decision:<decision>", "actions", untilDone, "a decision; with #<n> one that has failed n times"},
	{Record, "answer:<decision>", "actions/confirm", untilDone, "the first answer to the question whether a decision is to be carried out"},
	{Record, "outcome:<outcome>", "actions/notify", untilDone, "an outcome to journal and to notify of"},
	{Record, "notice:<outcome>:<receiver>:<channel>", "actions/notify", untilDone, "a notice of an outcome to send; with :<subject> one about a state, or a question"},
	{Record, "digest:<receiver>:<channel>:<end>", "actions/notify", untilDone, "a digest of the notices that come until then"},
	{Record, "end:<receiver>:<instance>:<pipeline>:<number>", "actions/notify", untilDone, "a message at the end of a pipeline, to a receiver that can't edit messages"},
	{Record, "request:<request>", "handlers/slackapp", untilDone, "a press of a button or a command in Slack, by a hash of Slack's id of it"},
	{Record, "follow:<outcome>", "actions/follow", untilDone, "a look at whether a failed retry is retried again"},
	{Record, "try:<instance>:<job>", "actions/ledger", untilDone, "a retried run that has ended, to count"},
	{Record, "pass-rate:<instance>:<job>", "actions/ledger", untilDone, "the message that the retries of a job are skipped from now on, or made again; by the job that showed it"},
	{Record, "request-followed:<request>", "actions/requests", untilDone, "a request from Slack that waits for the outcome of its decision, or for its reply to be sent"},
	{Record, "report:<name>:<time>", "actions/report/periodic", untilDone, "a report that is sent when it is due"},
	{Record, "storm:<class>:<start>", "actions/breaker", untilDone, "the messages about a storm"},
	{Record, "sweep:<rule>:<time>", "actions/sweep", untilDone, "a run of a schedule rule; by-hand:<time> one of the command"},
	{Record, "trouble:<start>", "actions/health", untilDone, "the messages about trouble with GitLab"},
	{Record, "webhooks:<instance>:<change>", "actions/hooks", untilDone, "the message about dead webhooks, or about their recovery"},

	{Claim, "catch-up", "actions/catchup", "2m, renewed", "one replica catches up"},
	{Claim, "checkup", "actions/doctor", "1m, renewed", "one replica makes the checks of doctor that a person requested"},
	{Claim, "confirm:<instance>:<project>:<job>", "actions/confirm", "1h, renewed", "one decision asks people whether a job is to be played"},
	{Claim, "gitlab-note:<instance>:<project>:<merge request>:claim", "actions/gitlabnotify", "1m, renewed", "one worker writes a note"},
	{Claim, "gitlab-status:<instance>:<project>:<pipeline>:claim", "actions/gitlabnotify", "1m, renewed", "one worker sets a commit status"},
	{Claim, "changes", "actions/audit", "10s", "one replica records a change"},
	{Claim, "mutes", "actions/pause", "10s", "one replica changes the mutes"},
	{Claim, "outcome:<outcome>", "actions/notify", "30s", "one notice of an outcome is recorded in the journal"},
	{Claim, "pauses", "actions/pause", "10s", "one replica changes the pauses"},
	{Claim, "slack:<channel>:<subject>:claim", "actions/slack", "30s, renewed", "one worker writes a message"},
	{Claim, "storm:<class>", "actions/breaker", "10s", "one replica changes a storm"},
	{Claim, "sweep:<rule>", "actions/sweep", "2m, renewed", "one replica runs a schedule rule"},
	{Claim, "trouble:gitlab", "actions/health", "10s", "one replica changes the trouble"},
	{Claim, "undelivered", "actions/notify", "30s", "one worker counts a notice that waits for its address"},
	{Claim, "webhooks-listed", "actions/hooks", "1m, renewed", "one replica lists the webhooks"},
	{Claim, "webhooks", "actions/hooks", "2m, renewed", "one replica keeps the webhooks in order"},

	{Rate, "<host>", "actions/gitlab/ratelimit", "until it is full", "all requests to GitLab"},
	{Rate, "<host>:limit:<scope>", "actions/gitlab/ratelimit", "until its hold ends", "GitLab's limit of an endpoint and project"},
	{Rate, "<host>:sweeps", "actions/gitlab/ratelimit", "until its hold ends", "the requests of sweeps and catch-up"},
	{Rate, "requests:<team>:<user>", "actions/requests", "until it is full", "what a person requests in Slack"},
	{Rate, "retries:class:<class>", "actions/budget", "until it is full", "the budget of a failure class"},
	{Rate, "retries:project:<instance>:<project>", "actions/budget", "until it is full", "the budget of a project"},
	{Rate, "retries:total", "actions/budget", "until it is full", "the budget of all projects"},
	{Rate, "slack:<channel>", "actions/slack", "until it is full", "the messages posted to a channel"},

	{Tally, "burst:<receiver>:<channel>", "actions/notify", "a rule file's group.wait", "new messages to an address"},
	{Tally, "failures:<class>", "actions/breaker", "the rules' storm.within", "failed jobs of a class"},
	{Tally, "gathered:<digest>", "actions/notify", "8d", "notices in a digest"},
	{Tally, "known-projects", "actions/catchup", "365d", "projects that sent an event"},
	{Tally, "quiet:<receiver>:<channel>:<end>", "actions/notify", "8d", "messages that wait for the end of quiet hours"},
	{Tally, "refs:<subject>", "actions/notify", "30d", "branches, tags and merge requests that a message of notices together is of"},
	{Tally, "retries:pipeline:<instance>:<pipeline>", "actions/budget", "7d", "retries in a pipeline"},
	{Tally, "short:<budget>", "actions/budget", "7d", "decisions that wait for a budget"},
	{Tally, "storms", "actions/breaker", "8d", "classes that have a last storm, one for each day on which it changed"},
	{Tally, "waiting:<class>:<start>", "actions/breaker", "7d", "decisions that wait for the end of a storm"},

	{Value, "answer:<decision>", "actions/confirm", "30d", "the answer to that question"},
	{Value, "asked:<decision>", "actions/notify", "30d", "when that question was posted"},
	{Value, "caught-up:<instance>:<project>", "actions/catchup", "365d", "up to when a project was looked at"},
	{Value, "changes", "actions/audit", "10y", "the last changes that people made"},
	{Value, "checkup", "actions/doctor", "30d", "what each check of doctor found last"},
	{Value, "checkup:running", "actions/doctor", "1m, renewed", "how far the checks are that a person requested"},
	{Value, "dead-webhooks:<instance>", "actions/hooks", "365d", "webhooks that GitLab sends nothing to"},
	{Value, "decided:<instance>:<job>", "actions/follow", "7d", "a rule retries the job"},
	{Value, "gitlab-note:<instance>:<project>:<merge request>", "actions/gitlabnotify", "30d", "what a note says, and where it is"},
	{Value, "gitlab-status:<instance>:<project>:<pipeline>", "actions/gitlabnotify", "30d", "of when a commit status is"},
	{Value, "deliveries:<instance>:<webhook>", "actions/catchup", "365d", "up to which failed delivery a webhook's list was read"},
	{Value, "digest:<receiver>:<channel>", "actions/notify", "8d", "the last digest that was sent to an address"},
	{Value, "digested:<notice>", "actions/notify", "8d", "what came of a notice in a digest"},
	{Value, "end-evaluated:<instance>:<job>", "actions/follow", "7d", "the event of a retried job's failure was evaluated"},
	{Value, "ended:<instance>:<pipeline>", "actions/notify", "1d", "how and when a pipeline ended last"},
	{Value, "ends:<receiver>:<instance>:<pipeline>", "actions/notify", "8d", "how many messages at the end of a pipeline there were"},
	{Value, "failed:decision:<decision>", "actions/again", "7d", "how often a decision has failed"},
	{Value, "granted:<budget>", "actions/budget", "7d", "how many that waited for a budget have got it"},
	{Value, "counted:<instance>:<job>", "actions/ledger", "--ledger-retention (30d)", "set once a retried run is counted"},
	{Value, "failed-run:<instance>:<pipeline>:<name>", "actions/ledger", "7d", "the last failed run of a job, by a hash of its name"},
	{Value, "tries:class:<class>", "actions/ledger", "--ledger-retention (30d)", "how many retries after failures of a class passed, by rule"},
	{Value, "tries:project:<instance>:<project>:<part>", "actions/ledger", "--ledger-retention (30d)", "how many retries in a project passed, by rule, class and job; in 16 parts, by a hash of class and job"},
	{Value, "last-catch-up", "actions/catchup", "7d; 2m, renewed, while it is under way", "the last round of catch-up that a person requested"},
	{Value, "last-failed:<instance>", "actions/again, actions/catchup", "7d", "when a decision last failed"},
	{Value, "mutes", "actions/pause", "10y", "the mutes in force"},
	{Value, "pauses", "actions/pause", "10y", "the pauses in force"},
	{Value, "rejected:<instance>:<project>:<pipeline>:<rule>:<job>", "actions/confirm", "30d", "who rejected a play"},
	{Value, "requested:<action>:<instance>:<job or pipeline>:<id>", "actions/requests", "7d", "who requested an action first"},
	{Value, "retried:<instance>:<job>", "actions/follow", "7d", "the retry that made a job"},
	{Value, "retry-ended:<instance>:<job>", "actions/follow", "7d", "the result of the retry that made a job is queued"},
	{Value, "rules-in-force:<instance>", "actions/catchup", "365d", "since when each rule is in force"},
	{Value, "schedule:<rule>:<cron>:<timezone>", "actions/sweep", "5y", "up to when a schedule was looked at"},
	{Value, "slack:<channel>:<subject>", "actions/slack", "30d", "what a message says, and where it is"},
	{Value, "state:<rule>:<entry>:<instance>:<project>:<ref>", "actions/notify", "30d", "whether a state in a rule's notify is true, by hashes of the entry and of the ref or the job on it"},
	{Value, "storm:<class>", "actions/breaker", "7d", "the last storm of a class"},
	{Value, "sweep:by-hand:<rule>", "actions/sweep", "7d", "where a sweep by hand was stopped"},
	{Value, "told:<instance>:<kind>:<id>:<status>", "actions, actions/catchup", "twice --catch-up-max-age", "an event reported a job or a pipeline in a status"},
	{Value, "trouble:gitlab", "actions/health", "7d", "why GitLab can't be used"},
	{Value, "undelivered", "actions/notify", "8d", "how many notices wait for each address that refuses them"},
	{Value, "unseen:<state>", "actions/notify", "365d", "the mute that kept people from being notified that a state began"},
	{Value, "webhooks-listed", "actions/hooks", "30d", "all webhooks, as they were read last"},
	{Value, "webhooks-listed:running", "actions/hooks", "1m, renewed", "how far the reading of the webhooks is"},
	{Value, "webhooks-kept:<instance>", "actions/hooks", "2h", "when all webhooks were last looked at, and the pauses that kept that from a change"},

	{Log, "deliveries", "handlers/deliveries", "--deliveries-retention (30d); the newest 256 blocks", "webhook deliveries of authenticated senders"},
	{Log, "deliveries-of-others", "handlers/deliveries", "--deliveries-retention (30d); the newest 256 blocks", "webhook deliveries of all other senders"},
	{Log, "evaluations", "actions", "--deliveries-retention (30d); the newest 256 blocks", "what the rules made of events"},
	{Log, "not-read", "actions/unknown", "--unknown-retention (30d); the newest 10,000", "failed jobs whose log was not read"},
	{Log, "unclassified", "actions/unknown", "--unknown-retention (30d); the newest 10,000", "failed jobs whose log is of no class, and what came of their retries"},
}

// Event is the id of the record of an event.
func Event(instance, id string) string { return "event:" + instance + ":" + id }

// Decision is the id of the record of a decision that has failed as often before.
func Decision(decision string, failures int) string {
	return "decision:" + Again(decision, failures)
}

// Again is the key of a decision that is made again after as many failures.
func Again(decision string, failures int) string {
	if failures == 0 {
		return decision
	}
	return fmt.Sprintf("%s#%d", decision, failures)
}

// Outcome is the id of the record of an outcome.
func Outcome(outcome string) string { return "outcome:" + outcome }

// Request is the id of the record of what a person requested in Slack.
func Request(request string) string { return "request:" + request }

// OutcomeClaim is the key of the claim on an outcome's entry in the journal.
func OutcomeClaim(outcome string) string { return "outcome:" + outcome }

// Answer is the id of the record of the first answer to the question whether a decision is
// to be carried out, and the key of that answer.
func Answer(decision string) string { return "answer:" + decision }

// Asked is the key of when that question was posted.
func Asked(decision string) string { return "asked:" + decision }

// Rejected is the key of the answer of who rejected the play of a job, by its name, that a rule
// wants in a pipeline.
func Rejected(instance string, project, pipeline int64, rule, job string) string {
	return fmt.Sprintf("rejected:%s:%d:%d:%s:%s", instance, project, pipeline, rule, job)
}

// Confirm is the key of the claim on the question whether a job is to be played.
func Confirm(instance string, project, job int64) string {
	return fmt.Sprintf("confirm:%s:%d:%d", instance, project, job)
}

// Notice is the id of the record of a notice of an outcome. subject is that of a notice
// about a state, or of a question, else "".
func Notice(outcome, receiver, channel, subject string) string {
	id := "notice:" + outcome + ":" + receiver + ":" + channel
	if subject != "" {
		id += ":" + subject
	}
	return id
}

// State is the key of the state in an entry of a rule's notify, in a project. entry
// identifies the entry in the rule, and ref the ref in the project, or the job on it.
func State(rule, entry, instance string, project int64, ref string) string {
	return fmt.Sprintf("state:%s:%s:%s:%d:%s", rule, entry, instance, project, ref)
}

// Together is the key of the branches, tags and merge requests that a message of notices
// together is of.
func Together(subject string) string { return "refs:" + subject }

// Unseen is the key of the mute that kept people from being notified that a state began, by the
// subject of its messages.
func Unseen(subject string) string { return "unseen:" + subject }

// Undelivered is the key of the addresses that refuse notices, and of the claim on them.
const Undelivered = "undelivered"

// Digest is the id of the record of a digest, which gathers until the end.
func Digest(receiver, channel string, end time.Time) string {
	return fmt.Sprintf("%s:%d", LastDigest(receiver, channel), end.Unix())
}

// LastDigest is the key of the last digest that was sent to an address.
func LastDigest(receiver, channel string) string { return "digest:" + receiver + ":" + channel }

// End is the id of the record of a message at the end of a pipeline, after as many others.
func End(receiver, instance string, pipeline int64, number int) string {
	return fmt.Sprintf("end:%s:%s:%d:%d", receiver, instance, pipeline, number)
}

// Ends is the key of the number of messages at the end of a pipeline.
func Ends(receiver, instance string, pipeline int64) string {
	return fmt.Sprintf("ends:%s:%s:%d", receiver, instance, pipeline)
}

// PipelineEnded is the key of how and when a pipeline ended last.
func PipelineEnded(instance string, pipeline int64) string {
	return fmt.Sprintf("ended:%s:%d", instance, pipeline)
}

// Gathered is the key of the notices in a digest.
func Gathered(digest string) string { return "gathered:" + digest }

// Digested is the key of what came of a notice in a digest.
func Digested(notice string) string { return "digested:" + notice }

// Burst is the key of the new messages to an address.
func Burst(receiver, channel string) string { return "burst:" + receiver + ":" + channel }

// Quiet is the key of the messages that wait for an end of quiet hours.
func Quiet(receiver, channel string, end time.Time) string {
	return fmt.Sprintf("quiet:%s:%s:%d", receiver, channel, end.Unix())
}

// Follow is the id of the record of a check whether a failed retry is retried
// again.
func Follow(outcome string) string { return "follow:" + outcome }

// Try is the id of the record of a retried run that has ended, by its job.
func Try(instance string, job int64) string { return fmt.Sprintf("try:%s:%d", instance, job) }

// PassRateTurn is the id of the record of the message that the retries of a job are skipped
// from now on, or made again, by the job that showed it.
func PassRateTurn(instance string, job int64) string {
	return fmt.Sprintf("pass-rate:%s:%d", instance, job)
}

// FailedRun is the key of the last failed run of a job in a pipeline; name is a hash of the
// job's.
func FailedRun(instance string, pipeline int64, name string) string {
	return fmt.Sprintf("failed-run:%s:%d:%s", instance, pipeline, name)
}

// ClassTries is the key of the counts of retries after failures of a class.
func ClassTries(class string) string { return "tries:class:" + class }

// ProjectTries is the key of a part of the counts of retries in a project.
func ProjectTries(instance string, project int64, part int) string {
	return fmt.Sprintf("tries:project:%s:%d:%d", instance, project, part)
}

// Counted is the key that is set once a try is counted.
func Counted(instance string, job int64) string { return fmt.Sprintf("counted:%s:%d", instance, job) }

// Retried is the key of the retry that made a job.
func Retried(instance string, job int64) string { return fmt.Sprintf("retried:%s:%d", instance, job) }

// RetryEnded is the key that is set once the result of the retry that made a job is queued.
func RetryEnded(instance string, job int64) string {
	return fmt.Sprintf("retry-ended:%s:%d", instance, job)
}

// Decided is the key that is set once a rule has decided to retry a job.
func Decided(instance string, job int64) string { return fmt.Sprintf("decided:%s:%d", instance, job) }

// EndEvaluated is the key that is set once the event of a retried job's failure was evaluated.
func EndEvaluated(instance string, job int64) string {
	return fmt.Sprintf("end-evaluated:%s:%d", instance, job)
}

// RequestFollowed is the id of the record of a request that waits for the outcome of its
// decision, or of which only the reply is to come.
func RequestFollowed(request string) string { return "request-followed:" + request }

// RequestedDecision is the key of the decision that a request has become.
func RequestedDecision(request string) string { return "requested:" + request }

// Requested is the key of who requested an action on a job or a pipeline first.
func Requested(instance, action, kind string, id int64) string {
	return fmt.Sprintf("requested:%s:%s:%s:%d", action, instance, kind, id)
}

// Storm is the key of the last storm of a class, and of the claim on it.
func Storm(class string) string { return "storm:" + class }

// Storms is the key of the classes that have a last storm.
const Storms = "storms"

// StormRecord is the id of the record of one storm.
func StormRecord(class string, start time.Time) string { return "storm:" + oneStorm(class, start) }

// Waiting is the key of the decisions that wait for the end of a storm.
func Waiting(class string, start time.Time) string { return "waiting:" + oneStorm(class, start) }

func oneStorm(class string, start time.Time) string {
	return fmt.Sprintf("%s:%d", class, start.UnixNano())
}

// Failures is the key of the failed jobs of a class.
func Failures(class string) string { return "failures:" + class }

// SweepRun is the id of a run of a schedule rule that is due.
func SweepRun(rule string, due time.Time) string { return fmt.Sprintf("sweep:%s:%d", rule, due.Unix()) }

// Report is the id of a report that is due.
func Report(name string, due time.Time) string { return fmt.Sprintf("report:%s:%d", name, due.Unix()) }

// SweepRunByHand is the id of a run by the command.
func SweepRunByHand(rule string, start time.Time) string {
	return fmt.Sprintf("sweep:%s:by-hand:%d", rule, start.UnixNano())
}

// Sweep is the key of the claim on a schedule rule.
func Sweep(rule string) string { return "sweep:" + rule }

// SweepByHand is the key of a run by the command that was stopped.
func SweepByHand(rule string, dryRun bool) string {
	if dryRun {
		return "sweep:by-hand:" + rule + ":dry-run"
	}
	return "sweep:by-hand:" + rule
}

// Schedule is the key of a schedule. A rule with another cron has another one.
func Schedule(rule, cron, timezone string) string {
	return fmt.Sprintf("schedule:%s:%s:%s", rule, cron, timezone)
}

// Trouble is the key of the reason why GitLab can't be used, and of the claim on
// it.
const Trouble = "trouble:gitlab"

// TroubleRecord is the id of the record of one trouble.
func TroubleRecord(start time.Time) string { return fmt.Sprintf("trouble:%d", start.UnixNano()) }

// CatchUp is the key of the claim on a round of catch-up.
const CatchUp = "catch-up"

// LastCatchUp is the key of the last round of catch-up that a person requested.
const LastCatchUp = "last-catch-up"

// Checkup is the key of what each check of doctor found last, and of the claim on the checks
// that a person requested; CheckupRunning is that of how far these are.
const (
	Checkup        = "checkup"
	CheckupRunning = "checkup:running"
)

// WebhooksListed is the key of all webhooks as they were read last, and of the claim on
// reading them; WebhooksListedRunning is that of how far the reading is.
const (
	WebhooksListed        = "webhooks-listed"
	WebhooksListedRunning = "webhooks-listed:running"
)

// Webhooks is the key of the claim on the webhooks.
const Webhooks = "webhooks"

// DeadWebhooks is the key of the webhooks that are known to be dead.
func DeadWebhooks(instance string) string { return "dead-webhooks:" + instance }

// WebhooksKept is the key of what is known of the last look at all webhooks.
func WebhooksKept(instance string) string { return "webhooks-kept:" + instance }

// WebhooksRecord is the id of the record of one change of them.
func WebhooksRecord(instance, change string) string { return "webhooks:" + instance + ":" + change }

// Pauses is the key of the pauses in force, and of the claim on them.
const Pauses = "pauses"

// Mutes is the key of the mutes in force, and of the claim on them.
const Mutes = "mutes"

// Changes is the key of the changes that people made, and of the claim on them.
const Changes = "changes"

// KnownProjects is the key of the projects that sent an event.
const KnownProjects = "known-projects"

// CaughtUp is the key of the time up to which catch-up has looked at a project.
func CaughtUp(instance string, project int64) string {
	return fmt.Sprintf("caught-up:%s:%d", instance, project)
}

// RulesInForce is the key of the times since when the rules are in force.
func RulesInForce(instance string) string { return "rules-in-force:" + instance }

// Deliveries is the key of the last failed delivery that was read from the list of
// a webhook.
func Deliveries(instance, webhook string) string { return "deliveries:" + instance + ":" + webhook }

// Reported is the key that is set once an event has reported a job or a pipeline in a
// status, such as job:7:failed.
func Reported(instance, status string) string { return "told:" + instance + ":" + status }

// LastFailed is the key of the time when a decision last failed.
func LastFailed(instance string) string { return "last-failed:" + instance }

// Failed is the key of the number of a decision's failures.
func Failed(decision string) string { return "failed:decision:" + decision }

// ClassBudget is the key of the retries of a failure class.
func ClassBudget(class string) string { return "retries:class:" + class }

// ProjectBudget is the key of the retries in a project.
func ProjectBudget(instance string, project int64) string {
	return fmt.Sprintf("retries:project:%s:%d", instance, project)
}

// TotalBudget is the key of all retries.
const TotalBudget = "retries:total"

// PipelineRetries is the key of the retries in a pipeline.
func PipelineRetries(instance string, pipeline int64) string {
	return fmt.Sprintf("retries:pipeline:%s:%d", instance, pipeline)
}

// Short is the key of the decisions that wait for a budget.
func Short(budget string) string { return "short:" + budget }

// Granted is the key of the number of those that have got it.
func Granted(budget string) string { return "granted:" + budget }

// RequestsOf is the key of what a person requests in Slack.
func RequestsOf(team, user string) string { return "requests:" + team + ":" + user }

// Requests is the key of all requests to the GitLab on a host.
func Requests(host string) string { return host }

// Sweeps is the key of the part of requests that sweeps make.
func Sweeps(requests string) string { return requests + ":sweeps" }

// Limit is the key of GitLab's own limit of a scope of requests.
func Limit(requests, scope string) string { return requests + ":limit:" + scope }

// Delivered is the key of the log of webhook deliveries of authenticated senders, and
// DeliveredByOthers that of all other senders'.
const (
	Delivered         = "deliveries"
	DeliveredByOthers = "deliveries-of-others"
)

// Unclassified is the key of the log of failed jobs whose log is of no class.
const Unclassified = "unclassified"

// NotRead is the key of the log of failed jobs whose log was not read.
const NotRead = "not-read"

// Evaluations is the key of the log of what the rules made of events.
const Evaluations = "evaluations"

// Message is the key of a message in a channel.
func Message(channel, subject string) string { return "slack:" + channel + ":" + subject }

// Posts is the key of the messages that are posted to a channel.
func Posts(channel string) string { return "slack:" + channel }

// MessageClaim is the key of the claim on a message.
func MessageClaim(message string) string { return message + ":claim" }

// Note is the key of the note on a merge request.
func Note(instance string, project, mergeRequest int64) string {
	return fmt.Sprintf("gitlab-note:%s:%d:%d", instance, project, mergeRequest)
}

// CommitStatus is the key of the commit status in a pipeline.
func CommitStatus(instance string, project, pipeline int64) string {
	return fmt.Sprintf("gitlab-status:%s:%d:%d", instance, project, pipeline)
}

// WriteClaim is the key of the claim on a note or a commit status.
func WriteClaim(of string) string { return of + ":claim" }
