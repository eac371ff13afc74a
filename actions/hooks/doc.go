// Package hooks keeps the webhooks that bring this service its events: it finds those of
// projects and groups, compares them with the webhook that is wanted, and creates,
// repairs and enables them again.
//
//	wanted.go   the webhook that is wanted, and which of those present are ours
//	inspect.go  reads the webhooks of a project or a group, and what became of their deliveries
//	plan.go     what is to be done with them: pure
//	trouble.go  what is wrong, in words that many owners have in common
//	survey.go   sums up those of many projects
//	report.go   the plan and its result, for people and programs
//	apply.go    carries a plan out, and checks what GitLab made of it
//	ensure.go   does so for all projects and groups that are named
//	rehearsal.go  a GitLab that is not written to, for dry runs
//	keeper.go   does so again each hour, for serve
//	watch.go    which webhooks are dead: announces that once, and their recovery
//
// A project's events must come from one webhook: the group's, where GitLab Premium has
// one, or else the project's own. Two would deliver everything twice.
//
// What belongs to others is never changed. Ours are the webhooks at the wanted address,
// by host and path, whatever their other settings.
//
// The package has more than 2,000 lines because the commands, their dry run and the
// hourly rounds are one set of steps on one plan.
package hooks
