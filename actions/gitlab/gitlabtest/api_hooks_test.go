package gitlabtest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// The lists of webhooks and of what was sent, and resend, as the client of
// Pipesteward reads them.
func TestHooksAPI(t *testing.T) {
	clock := storetest.NewClock()
	s := gitlabtest.Start(t, gitlabtest.Options{Now: clock.Now})
	status := http.StatusBadGateway
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(receiver.Close)
	shop := s.AddProject(gitlabtest.Project{Path: "platform/web/shop"})
	poor := s.AddProject(gitlabtest.Project{Path: "tools/poor", Role: gitlabtest.Developer})
	own := s.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: receiver.URL, JobEvents: true})
	s.AddHook(gitlabtest.Hook{Group: "platform", URL: receiver.URL, PipelineEvents: true})
	c, err := gitlab.New(gitlab.Config{BaseURL: s.URL(), Token: gitlabtest.DefaultToken, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}

	hooks, err := c.ProjectHooks(t.Context(), shop.ID)
	if err != nil || len(hooks) != 1 || hooks[0].ID != own.ID || !hooks[0].JobEvents || hooks[0].AlertStatus != "executable" {
		t.Fatalf("hooks: %+v, %v", hooks, err)
	}
	ofGroup, err := c.GroupHooks(t.Context(), "platform")
	if err != nil || len(ofGroup) != 1 || !ofGroup[0].PipelineEvents {
		t.Fatalf("hooks of the group: %+v, %v", ofGroup, err)
	}
	if _, err := c.ProjectHooks(t.Context(), poor.ID); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a Developer sees webhooks: %v", err)
	}

	list := func(h gitlab.Hook) (failed []gitlab.HookDelivery) {
		for d, err := range c.FailedDeliveries(t.Context(), h) {
			if err != nil {
				t.Fatal(err)
			}
			failed = append(failed, d)
		}
		return failed
	}
	s.AddPipeline(shop.ID, gitlabtest.Pipeline{Message: strings.Repeat("long ", 30_000)}, gitlabtest.Job{Name: "rspec"})
	s.Flush()
	status = http.StatusOK
	s.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	s.Flush()
	failed := list(hooks[0])
	if len(failed) == 0 || failed[0].Event != "Job Hook" || failed[0].Key == "" || failed[0].Status != "502" || failed[0].Body != nil {
		t.Fatalf("failed: %+v", failed)
	}
	if short := list(ofGroup[0]); len(short) == 0 || short[0].Event != "Pipeline Hook" {
		t.Errorf("failed of the group's: %+v", short)
	}

	s.Resend(failed[0].ID)
	s.Flush()
	all := s.Deliveries()
	if last := all[len(all)-1]; last.Key != failed[0].Key || last.Status != http.StatusOK {
		t.Errorf("sent once more: %s, %d", last.Key, last.Status)
	}
	clock.Advance(49 * time.Hour)
	if failed := list(hooks[0]); failed != nil {
		t.Errorf("after two days: %+v", failed)
	}
}
