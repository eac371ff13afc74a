package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

const nothing = "\nrules: []\n"

func TestLimits(t *testing.T) {
	const hour = event.Duration(time.Hour)
	for name, c := range map[string]struct {
		text string
		want rules.Limits
	}{
		"none": {"", rules.Limits{PerJob: 3, PerPipeline: 20, PerProject: rules.Budget{Count: 100, Per: hour}, Total: rules.Budget{Count: 1000, Per: hour}}},
		"some": {"limits: {per_job: 5, total: 20/10m}", rules.Limits{PerJob: 5, PerPipeline: 20, PerProject: rules.Budget{Count: 100, Per: hour}, Total: rules.Budget{Count: 20, Per: hour / 6}}},
		"all": {"limits: {per_job: 1, per_pipeline: 2, per_project: 3/1d, total: 4/1h30m, per_class: {script: 5/1h}}", rules.Limits{
			PerJob: 1, PerPipeline: 2, PerProject: rules.Budget{Count: 3, Per: 24 * hour}, Total: rules.Budget{Count: 4, Per: hour * 3 / 2},
			PerClass: map[string]rules.Budget{"script": {Count: 5, Per: hour}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, load(t, "version: 1\n"+c.text+nothing).Limits()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStorm(t *testing.T) {
	const minute = event.Duration(time.Minute)
	usual := rules.Storm{Failures: 30, Pipelines: 10, Within: 5 * minute, Pause: 15 * minute, To: slack("")}
	storm := func(channel string) rules.Storm {
		s := usual
		s.To.Channel = channel
		return s
	}
	for name, c := range map[string]struct {
		files []string
		want  rules.Storm
	}{
		"none":                              {[]string{""}, usual},
		"none, with a default channel":      {[]string{"", "defaults: {channel: ci}", "defaults: {channel: other}"}, storm("ci")},
		"all":                               {[]string{"storm: {failures: 5, pipelines: 2, within: 1m, pause: 1h, channel: ops}"}, rules.Storm{Failures: 5, Pipelines: 2, Within: minute, Pause: 60 * minute, To: slack("ops")}},
		"the default channel":               {[]string{"storm: {}\ndefaults: {channel: ci}"}, storm("ci")},
		"no default channel in that file":   {[]string{"defaults: {channel: ci}", "storm: {failures: 30}"}, usual},
		"the channel before the default":    {[]string{"storm: {channel: ops}\ndefaults: {channel: ci}"}, storm("ops")},
		"storm in one, defaults in another": {[]string{"storm: {channel: ops}", "defaults: {channel: ci}"}, storm("ops")},
	} {
		t.Run(name, func(t *testing.T) {
			var sources []rulefile.Source
			for _, text := range c.files {
				sources = append(sources, rulefile.Source{Name: "r.yaml", Data: []byte("version: 1\n" + text + nothing)})
			}
			rs, err := rulefile.Load(rulefile.Options{}, sources...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, rs.Storm()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSettingsOfAllFiles checks that settings for the rules of all files may
// be in one of the files only.
func TestSettingsOfAllFiles(t *testing.T) {
	file := func(name, text string) rulefile.Source {
		return rulefile.Source{Name: name, Data: []byte("version: 1\n" + text + nothing)}
	}
	_, err := rulefile.Load(rulefile.Options{},
		file("a.yaml", "limits: {per_job: 2}"),
		file("b.yaml", "storm: {pause: 1h}\nclasses: [{name: disk-full, log: a}]"),
		file("c.yaml", "limits: {per_job: 3}\nstorm: {}\nclasses: [{name: disk-full, log: b}]"))
	want := strings.Join([]string{
		"c.yaml:2:9: `limits` is already set in a.yaml:2: it applies to the rules of all files, so only one of them can set it",
		"c.yaml:3:8: `storm` is already set in b.yaml:2: it applies to the rules of all files, so only one of them can set it",
		`c.yaml:4:18: another class has the name "disk-full" already, in b.yaml:3`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("Load gave\n%v\nwant\n%s", err, want)
	}
}
