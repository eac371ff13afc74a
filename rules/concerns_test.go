package rules_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// A rule concerns a project unless what it says of the project alone excludes it.
func TestConcerns(t *testing.T) {
	t.Parallel()
	shop := event.Project{ID: 22, Path: "platform/tools/shop", Namespace: "platform/tools", Name: "shop"}
	for condition, want := range map[string]bool{
		`true`:                                                                                   true,
		`job.status == "failed"`:                                                                 true,
		`project.path == "platform/tools/shop"`:                                                  true,
		`"platform/tools/shop" == project.path`:                                                  true,
		`project.path == "platform/shop"`:                                                        false,
		`project.path != "platform/tools/shop"`:                                                  false,
		`project.path in ["a/b", "platform/tools/shop"]`:                                         true,
		`project.path in ["a/b", "c/d"]`:                                                         false,
		`project.path not in ["a/b", "platform/tools/shop"]`:                                     false,
		`glob(project.path, "platform/**")`:                                                      true,
		`glob(project.path, "platform/*")`:                                                       false,
		`not glob(project.path, "platform/**")`:                                                  false,
		`glob(project.path, "platform/**") and job.name == "x"`:                                  true,
		`job.name == "x" and glob(project.path, "other/**")`:                                     false,
		`job.name == "x" or glob(project.path, "other/**")`:                                      true,
		`not (job.name == "x" or glob(project.path, "platform/**"))`:                             false,
		`project.namespace startsWith "platform"`:                                                true,
		`project.namespace startsWith "mobile"`:                                                  false,
		`project.path contains "tools" && project.path endsWith "shop"`:                          true,
		`project.path matches "^mobile/"`:                                                        false,
		`project.path startsWith "mobile" or project.default_branch == "x"`:                      true,
		`failed_with("runner_system_failure") and project.name == "shop" and job.attempt < 3`:    true,
		`failed_with("runner_system_failure") and project.name == "other" and log() contains ""`: false,
	} {
		source := "version: 1\nrules:\n  - name: one\n    on: job\n    if: '" + condition + "'\n    actions: [retry]\n"
		loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(source)})
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if got := loaded.Rule("one").Concerns(shop); got != want {
			t.Errorf("%s: %t, want %t", condition, got, want)
		}
	}
}

// A schedule rule concerns the projects that its schedule names.
func TestScheduleConcerns(t *testing.T) {
	t.Parallel()
	source := `version: 1
rules:
  - name: erase
    on: schedule
    schedule: {cron: "@daily", projects: [platform, "apps/*", 7]}
    if: project.path != "platform/shop"
    actions: [erase]
`
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(source)})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"platform/web": true, "platform/shop": false, "apps/x": true, "apps/x/y": false, "mobile/app": false} {
		if got := loaded.Rule("erase").Concerns(event.Project{ID: 1, Path: path}); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}
