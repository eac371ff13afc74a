package webhook_test

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
)

// stagingGitLab is the instance at gitlabURL, which knows that deliveries that
// name another address are of another GitLab, if certain.
type stagingGitLab struct {
	knownGitLab
	certain  bool
	requests *[3]string // the arguments of the last call
}

const stagingURL = "https://staging.example.com"

func (g stagingGitLab) ForeignAddress(instance, projectURL, projectPath string) (string, bool) {
	*g.requests = [3]string{instance, projectURL, projectPath}
	return stagingURL, g.certain
}

// A delivery of another GitLab is refused, whether a rule wants it or not, and
// makes no project known.
func TestForeignDelivery(t *testing.T) {
	for _, name := range []string{"job-failed.json", "pipeline-failed.json", "job-without-project.json"} {
		for _, wanted := range []wants{all, none} {
			var requests [3]string
			r := newRig(t, func(c *webhook.Config) {
				c.GitLab, c.Rules = stagingGitLab{certain: true, requests: &requests}, wanted
			})
			code, answer := r.post(t, fixture(t, name), "X-Gitlab-Token", secretToken, "X-Gitlab-Instance", stagingURL)
			if code != 403 || !strings.Contains(answer, "--gitlab-alias "+stagingURL) {
				t.Errorf("%s: answer is %d %s, want 403 with the setting to change", name, code, answer)
			}
			if stored := r.queue.ids(); len(stored) > 0 {
				t.Errorf("%s: stored are %v", name, stored)
			}
			kind, _, _ := strings.Cut(name, "-")
			if diff := cmp.Diff([]string{kind + " foreign 1"}, r.counted(t)); diff != "" {
				t.Errorf("%s: deliveries are counted otherwise (- want, + got):\n%s", name, diff)
			}
			want := [3]string{stagingURL, gitlabURL + "/platform/shop/checkout", "platform/shop/checkout"}
			if name == "job-without-project.json" {
				want[2] = ""
			}
			if requests != want {
				t.Errorf("%s: GitLab is identified by %q, want %q", name, requests, want)
			}
			if log := r.log.String(); log != "" {
				t.Errorf("%s: each delivery is logged:\n%s", name, log)
			}
		}
	}
}

// While GitLab's own address is not known, an event is stored with the address
// that its delivery names, under the id that it has anyway.
func TestDeliveryOfUncertainOrigin(t *testing.T) {
	r := newRig(t, func(c *webhook.Config) { c.GitLab = stagingGitLab{requests: new([3]string)} })
	code, answer := r.post(t, fixture(t, "job-failed.json"), "X-Gitlab-Token", secretToken, "X-Gitlab-Instance", stagingURL, "Idempotency-Key", "k")
	if code != 202 {
		t.Fatalf("answer is %d %s", code, answer)
	}
	if diff := cmp.Diff([]string{"event:" + gitlabURL + ":k"}, r.queue.ids()); diff != "" {
		t.Errorf("stored ids differ (- want, + got):\n%s", diff)
	}
	var got event.Event
	if err := stdjson.Unmarshal(r.queue.records[0].Body, &got); err != nil || got.Meta.Instance != stagingURL {
		t.Errorf("the stored event's instance is %q (%v), want %q", got.Meta.Instance, err, stagingURL)
	}
}
