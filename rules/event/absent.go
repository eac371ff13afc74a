package event

// Absent lists, by kind, the fields that an event never has, with the paths of
// expressions: they have zero values. A Job Hook of no version of GitLab contains them, and
// an event that is made from GitLab's API in place of a hook has no more than the hook; the
// jobs of schedule rules come from the Jobs API, which lacks the others. A decision of a
// rule for pipelines has the job that it acts on.
var Absent = map[string][]string{
	KindJob: {
		"pipeline.iid", "pipeline.source", "pipeline.created_at", "pipeline.queued_duration", "pipeline.variables", "pipeline.stages",
		"pipeline.protected_ref", "pipeline.jobs", "job.delayed", "merge_request",
	},
	KindPipeline: {"job"},
	KindSchedule: {
		"pipeline.name", "pipeline.finished_at", "pipeline.duration", "pipeline.queued_duration", "pipeline.variables", "pipeline.stages", "pipeline.jobs", "pipeline.upstream",
		"job.bridge", "job.delayed", "job.runner.tags", "job.environment", "merge_request",
	},
}
