package release_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// job has the keywords that jobs of .gitlab-ci.yml use: GitLab refuses a pipeline with one that
// it does not know, which a release would be the first to find out.
type job struct {
	Stage         string            `json:"stage"`
	Extends       string            `json:"extends"`
	Needs         []string          `json:"needs"`
	Image         any               `json:"image"` // a name, or an object with one
	Services      []string          `json:"services"`
	Rules         []rule            `json:"rules"`
	ResourceGroup string            `json:"resource_group"`
	IDTokens      map[string]token  `json:"id_tokens"`
	Variables     map[string]string `json:"variables"`
	Script        []string          `json:"script"`
}

type rule struct {
	If string `json:"if"`
}

type token struct {
	Audience string `json:"aud"`
}

func TestPipeline(t *testing.T) {
	var pipeline struct {
		Stages   []string               `json:"stages"`
		Workflow struct{ Rules []rule } `json:"workflow"`
		Test     job                    `json:"test"`
		Tagged   job                    `json:".release"`
		Release  job                    `json:"release"`
		Chart    job                    `json:"chart"`
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, ".gitlab-ci.yml")), &pipeline); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pipeline.Stages, []string{pipeline.Test.Stage, pipeline.Tagged.Stage}) {
		t.Errorf("the stages are %q: a release comes after the tests", pipeline.Stages)
	}
	if !slices.Equal(pipeline.Test.Script, []string{".ci/run"}) || read(t, ".ci/run") == "" {
		t.Errorf("the tests are %q", pipeline.Test.Script)
	}
	for name, j := range map[string]job{"release": pipeline.Release, "chart": pipeline.Chart} {
		if j.Extends != ".release" || j.Stage != "" || j.Rules != nil {
			t.Errorf("%s is not made as .release says: %+v", name, j)
		}
	}
	if rules := pipeline.Tagged.Rules; len(rules) != 1 || !strings.Contains(rules[0].If, `$CI_COMMIT_TAG =~ /^v[0-9]/ && $CI_COMMIT_REF_PROTECTED == "true"`) {
		t.Errorf("a release is made for %+v, and not for protected tags only", rules)
	}
	if got := pipeline.Release.IDTokens; len(got) != 1 || got["SIGSTORE_ID_TOKEN"].Audience != "sigstore" {
		t.Errorf("cosign signs with the token SIGSTORE_ID_TOKEN for sigstore, and the job has %+v", got)
	}

	// The versions are those of the checks.
	makefile, module := read(t, "Makefile"), read(t, "deploy/check/go.mod")
	image, _ := pipeline.Release.Image.(map[string]any)
	for what, version := range map[string][2]string{
		"GoReleaser":     {image["name"].(string), "goreleaser/goreleaser:" + found(t, makefile, `GORELEASER_VERSION := (\S+)`)},
		"Helm":           {pipeline.Chart.Script[0], "go install helm.sh/helm/v4/cmd/helm@" + found(t, module, `helm\.sh/helm/v4 (\S+)`)},
		"Go":             {pipeline.Test.Image.(string), "golang:" + found(t, read(t, "go.mod"), `(?m)^go (\d+\.\d+)`)},
		"the chart's Go": {pipeline.Chart.Image.(string), pipeline.Test.Image.(string)},
	} {
		if version[0] != version[1] {
			t.Errorf("%s is %s in .gitlab-ci.yml, and %s elsewhere", what, version[0], version[1])
		}
	}
}

// found returns what the group of the pattern matches.
func found(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return match[1]
}
