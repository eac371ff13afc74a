package rulefile

import (
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// What people write in the wrong place, or as other tools have it, with what to
// write instead.

const (
	inActions  = "it is a parameter of an action, like `actions: [retry: {max_attempts: 3, delay: 30s}]`"
	inPlay     = "it is a parameter of play, like `actions: [play: {jobs: [deploy-production], confirm: \"#deploys\"}]`"
	inEntry    = "it stands in an entry of notify, like `notify: [{channel: \"#ci\", text: \"…\"}]`"
	inSchedule = "it stands in schedule, like `schedule: {cron: \"0 3 * * *\", projects: [\"platform/*\"]}`"
	inIf       = "the condition is the rule's `if`, like `if: failed_with(\"runner_system_failure\")`"
	inDefaults = "it stands in defaults, like `defaults: {channel: \"#ci\", dry_run: true}`"
	aRule      = "it is a key of a rule, and rules stand in a list: `rules: [{name: …, on: job, …}]`"
	aComment   = "write a comment: # …"
)

// inRule has what to write in place of unknown keys of a rule.
var inRule = func() map[string]string {
	hints := map[string]string{
		"when": "the condition is `if`; `when` has outcomes, in an entry of notify", "unless": "write `if: not (…)`", "except": "write `if: not (…)`",
		"max_attempts": inActions, "delay": inActions, "backoff": inActions, "max_delay": inActions, "allow_stale": inActions, "min_pass_rate": inActions, "older_than": inActions,
		"confirm": inPlay, "confirm_within": inPlay,
		"jobs": inActions, "variables": inActions, "inputs": inActions, "max": inActions,
		"channel": inEntry, "text": inEntry, "message": inEntry, "mention": inEntry, "receiver": "it stands in an entry of notify, like `notify: [{receiver: ops}]`", "receivers": "it is a key of the file, with what entries of notify name: `receivers: [{name: ops, feishu: {…}}]`",
		"cron": inSchedule, "projects": inSchedule, "timezone": inSchedule, "scope": inSchedule,
		"project": "write `if: project.path == \"platform/shop\"`", "stage": "write `if: job.stage == \"test\"`", "branch": "write `if: pipeline.ref == \"main\"`", "ref": "write `if: pipeline.ref == \"main\"`",
		"status": "write `if: job.status == \"failed\"`", "failure_reason": inIf, "reasons": inIf, "exit_codes": inIf,
		"description": aComment, "doc": aComment, "comment": aComment, "labels": aComment, "severity": aComment,
		"enabled": "leave the rule out, or give it `dry_run: true`", "disabled": "leave the rule out, or give it `dry_run: true`",
		"continue": "all rules that match act; `stop: true` ends that", "priority": "rules are evaluated in the order of the file",
		"for": "write a condition on age(), like `if: age(job.created_at) > duration(\"10m\")`",
	}
	for _, name := range VerbNames() {
		hints[name] = fmt.Sprintf("it is an action, and those stand in a list: `actions: [%s]`", name)
	}
	return hints
}()

// inNotify has what to write in place of unknown keys of an entry of notify.
var inNotify = map[string]string{
	"if": inIf, "on": "write `when`, a list of outcomes, like `when: [gave_up]`", "status": "write `when`, a list of outcomes, like `when: [gave_up]`",
	"channels": "write an entry for each channel", "receivers": "write an entry for each receiver", "to": "write `channel` or `receiver`", "emoji": "write it in the text", "attachments": "write a text", "blocks": "write a text",
	"resolve": "write `resolved`, the text when the `state` turns false again", "recovered": "write `when: [recovered]`, or `resolved` beside a `state`",
}

// inTemplates has what to write in place of unknown templates.
var inTemplates = map[string]string{
	"text": "each text has a name of its own, like `gave_up`; that of one rule stands in its entry of notify", "title": "write `header`", "subject": "write `header`", "footer": "write `details`", "facts": "write `details`",
	"success": "write `done` or `recovered`", "failure": "write `failed` or `gave_up`", "storm": "announcements have fixed texts", "digest": "digests have fixed texts", event.Chinese: "a template has its languages in it: `gave_up: {zh: …}`", event.English: "a template has its languages in it: `gave_up: {en: …}`",
}

// inRetry has what to write in place of unknown keys of a retry.
var inRetry = map[string]string{
	"when": inIf, "if": inIf, "on": inIf, "reasons": inIf,
	"exit_codes": "GitLab tells exit codes in the log only: write `if: log() matches \"exit (code|status) 137\"`", "exit_code": "GitLab tells exit codes in the log only: write `if: log() matches \"exit (code|status) 137\"`",
}

// inFile has what to write in place of unknown keys of the file.
var inFile = map[string]string{
	"channel": inDefaults, "receiver": "receivers stand in a list: `receivers: [{name: ops, feishu: {url_file: …}}]`; that of all rules in defaults: `defaults: {receiver: ops}`", "route": "rules say who is notified: `notify: [{receiver: ops}]`", "dry_run": inDefaults, "name": aRule, "on": aRule, "if": aRule, "actions": aRule, "notify": aRule,
	"language": inDefaults, "messages": "write `templates`", "texts": "write `templates`",
	"include": "`--rules` can be a directory, of which all files are read", "tests": "this is a key of a file of rule tests, which `pipesteward test` reads",
	"per_job": "it stands in limits", "per_pipeline": "it stands in limits", "per_project": "it stands in limits", "total": "it stands in limits",
}

// otherTool names the tool whose file this is; "" if it may be a rule file.
func otherTool(root *yaml.Node) string {
	if root.Kind != yaml.MappingNode || schema.Has(root, "version") || schema.Has(root, "rules") || schema.Has(root, "defaults") {
		return ""
	}
	switch {
	case schema.Has(root, "stages"), schema.Has(root, "workflow"), schema.Has(root, "before_script"):
		return "GitLab's CI/CD configuration"
	case schema.Has(root, "jobs") && schema.Has(root, "on"):
		return "a workflow of GitHub Actions"
	case schema.Has(root, "groups"):
		return "a rule file of Prometheus"
	case schema.Has(root, "route"), schema.Has(root, "receivers"):
		return "a configuration of Alertmanager"
	}
	return ""
}

// kindsElsewhere maps what other tools call events to the kinds of events.
var kindsElsewhere = map[string]string{
	"push": "pipeline` with `if: pipeline.source == \"push\"", "tag": "pipeline` with `if: pipeline.tag", "merge_request": "pipeline` with `if: merge_request.iid != 0",
	"merge_requests": "pipeline` with `if: merge_request.iid != 0", "merge_request_event": "pipeline` with `if: merge_request.iid != 0", "pull_request": "pipeline` with `if: merge_request.iid != 0",
	"build": "job", "failure": "job` with `if: job.status == \"failed\"", "failed": "job` with `if: job.status == \"failed\"", "cron": "schedule",
}

// eventKind reads the kind of events that a rule is for.
func eventKind(to *string) schema.Schema {
	one := schema.OneOf(to, event.Kinds)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			switch {
			case n.Kind == yaml.SequenceNode:
				f.FailAt(n, "a rule is for one kind of events: write a rule of its own for each of job, pipeline and schedule")
			case n.Kind == yaml.MappingNode:
				f.FailAt(n, "on must be job, pipeline or schedule: what the event must be like stands in `if`")
			case kindsElsewhere[n.Value] != "":
				f.FailAt(n, "on must be one of job, pipeline, schedule, not %q: write `on: %s`", n.Value, kindsElsewhere[n.Value])
			default:
				one.Read(f, n, what)
			}
		},
		JSON: one.JSON,
	}
}

// outcomes reads the outcomes that are worth a notification.
func outcomes(to *[]string) schema.Schema {
	list := schema.Distinct(schema.List(to, 1, func(result *string) schema.Schema { return schema.OneOf(result, event.Whens) }))
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			meant := n.Value
			if !slices.Contains(event.Whens, meant) {
				meant = spelling.Nearest(meant, event.Whens)
			}
			if schema.IsText(n) && meant != "" {
				f.FailAt(n, "%s must be a list of outcomes, like `%s: [%s]`", what, what, meant)
				return
			}
			list.Read(f, n, what)
		},
		JSON: list.JSON,
	}
}

// notifications reads the list of a rule's notifications.
func notifications(list schema.Schema) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			switch {
			case schema.IsText(n) && slices.Contains([]string{"none", "never", "false", "no", "off"}, n.Value):
				f.FailAt(n, "omit notify: without it nobody is notified")
			case schema.IsText(n):
				f.FailAt(n, "notify must be a list, like `notify: [{channel: %q}]`", n.Value)
			default:
				list.Read(f, n, what)
			}
		},
		JSON: list.JSON,
	}
}

// byName returns the parameters of an action with a value that was written without
// its name.
func byName(known schema.Fields, value string) string {
	switch _, err := strconv.Atoi(value); {
	case err == nil && slices.Contains(known.Keys(), "max_attempts"):
		return fmt.Sprintf("{max_attempts: %s}", value)
	case known[0].Key == "jobs" && err != nil:
		return fmt.Sprintf("{jobs: [%s]}", value)
	}
	return fmt.Sprintf("{%s: …}", known[len(known)-1].Key)
}

// notOneAction says what to write instead of a mapping of several keys, or of none,
// where an action stands.
func notOneAction(n *yaml.Node) string {
	names := VerbNames()
	if len(n.Content) < 4 || !slices.Contains(names, n.Content[0].Value) {
		return ""
	}
	verb, second := n.Content[0].Value, n.Content[2]
	if slices.Contains(names, second.Value) {
		return fmt.Sprintf("each action is an entry of its own: begin %s with `- `", second.Value)
	}
	return fmt.Sprintf("%s is a parameter of %s: indent it more than %s, or write `%s: {%s: …}`", second.Value, verb, verb, verb, second.Value)
}
