package keys

import "fmt"

// This file has the keys of what follows retries: their results, and what they taught.

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

// Decided is the key that is set once a rule has decided to retry a job.
func Decided(instance string, job int64) string { return fmt.Sprintf("decided:%s:%d", instance, job) }

// EndEvaluated is the key that is set once the event of a retried job's failure was evaluated.
func EndEvaluated(instance string, job int64) string {
	return fmt.Sprintf("end-evaluated:%s:%d", instance, job)
}
