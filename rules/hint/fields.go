package hint

// Field says what to write instead of a field that a type of package event does not have,
// although GitLab's API or another language has something of that name; "" if that is not
// known.
func Field(of, field string) string { return otherFields[of][field] }

// otherFields tells, by type of package event, what to write for what is no field of it.
var otherFields = map[string]map[string]string{
	"Job": {
		"log": "write log()", "trace": "write log()", "exit_code": exitCode, "exitCode": exitCode,
		"tags": "write job.runner.tags for the runner's, or details().tag_list for those that the job requires", "tag_list": "write details().tag_list",
		"artifacts": "write details().artifacts", "coverage": "write details().coverage", "erased_at": "write details().erased_at",
		"branch": "write job.ref", "retries": "write job.attempt, which counts from 1", "retry_count": "write job.attempt, which counts from 1",
		"user": "write user", "commit": "write commit", "pipeline": "write pipeline", "project": "write project", "when": "write job.manual",
		"runner_tags": "write job.runner.tags", "class": "write job.failure_class", "variables": "write pipeline.variables",
	},
	"Pipeline": {
		"branch": "write pipeline.ref", "commit": "write commit", "user": "write user", "project": "write project", "merge_request": "write merge_request",
		"bridges": "write bridges()", "author": "write commit.author_name", "name_of_ref": "write pipeline.ref", "failed_jobs": `write filter(pipeline.jobs, .status == "failed")`,
	},
	"MergeRequest": {
		"labels": "write merge_request_details().labels", "draft": "write merge_request_details().draft", "author": "write merge_request_details().author",
		"approved": "write merge_request_details().approved", "approvals": "write merge_request_details().approvals_left", "approved_by": "write merge_request_details().approved_by",
		"id": "write merge_request.iid", "branch": "write merge_request.source_branch", "work_in_progress": "write merge_request_details().draft",
	},
	"Commit":  {"id": "write commit.sha", "author": "write commit.author_name"},
	"Project": {"group": "write project.namespace", "full_path": "write project.path", "visibility": "GitLab's events don't tell it"},
	"Meta":    {"type": "write event.kind", "time": "write event.received_at", "action": "write event.kind"},
}

const exitCode = `GitLab's hooks and its REST API do not tell it; the log does: write log() matches "exit (code|status) 137\\b"`
