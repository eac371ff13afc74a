package requests_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/rules/event"
)

func itoa(id int64) string { return strconv.FormatInt(id, 10) }

// TestCommands: what is said to each command. HOST is GitLab's address, JOB the id of a
// failed job, PIPELINE and PROJECT those of its pipeline and
// its project.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ command, says string }{
		{"", "`/pipesteward why URL`…`/pipesteward help`"},
		{"help", "`/pipesteward why URL`…`/pipesteward status`"},
		{"HELP", "`/pipesteward why URL`"},
		{"retyr HOST/platform/shop/-/jobs/JOB", "There is no command `retyr`: `retry`?"},
		{"<!channel> `x`", "There is no command `&lt;!channel&gt;`. `/pipesteward help`"},
		{"report", "There is no command `report`"},
		{"why", "That can't be read: one address of a job or a pipeline in GitLab belongs here.\nWrite `/pipesteward why URL`"},
		{"why me", "me is no page of a job or a pipeline: give its address, such as HOST/group/project/-/jobs/123"},
		{"why https://gitlab.example.org/a/b/-/jobs/1", "is a page of another GitLab"},
		{"why HOST/platform/shop/-/jobs/JOB", "job JOB rspec"},
		{"why HOST/platform/shop/-/pipelines/PIPELINE", "pipeline PIPELINE"},
		{"why HOST/platform/gone/-/jobs/1", "There is no job 1 of platform/gone that both you and Pipesteward may see"},
		{"retry HOST/platform/shop/-/jobs/JOB", "Retried …rspec…by Ada…attempt 2"},
		{"retry <HOST/platform/shop/-/jobs/JOB|job>", "Retried …rspec"},
		{"retry HOST/platform/shop/-/pipelines/PIPELINE", "Retried …pipeline #PIPELINE…by Ada"},
		{"retry HOST/platform/shop/-/jobs/999", "There is no job 999 of platform/shop that both you and Pipesteward may see"},
		{"retry HOST/platform/shop", "is no page of a job or a pipeline"},
		{"pause", "say what: all, project, rule, for, replace, reason; `all` is everything…Write `/pipesteward pause all | project GLOB"},
		{"pause all", "public: …paused actions (`all`)…`/pipesteward resume all` ends it"},
		{"pause all project a/b", "`all` is everything"},
		{"pause everything", "`everything` is none of the words that belong here"},
		{"pause project", "a value is missing after `project`"},
		{"pause project a rule told", "not for both"},
		{"pause project a project b", "`project` is given twice"},
		{"pause --project platform/shop —for 1h", "public: …paused actions (`project:platform/shop`) until "},
		{"mute channel #CI", "public: …muted notifications (`channel:CI`)…ends it."},
		{"mute channel #cii", "public: …muted notifications (`channel:cii`)…It stops nothing now: no rule notifies `#cii` by this name."},
		{"pause project platform", "public: …paused actions (`project:platform`)…GitLab shows no project with that path; for a group, write `project platform/**`."},
		{"pause project PROJECT", "public: …paused actions (`project:platform/shop`)…`/pipesteward resume project platform/shop` ends it. `PROJECT` is that project."},
		{"mute project PROJECT rule told", "public: …muted notifications (`rule:told, project:platform/shop`)…`PROJECT` is that project."},
		{"pause project Platform/Shop", "public: …paused actions (`project:platform/shop`)…`/pipesteward resume project platform/shop` ends it."},
		{"pause rule tld", "there is no rule `tld`: `told`?"},
		{"pause rule told for soon", "`soon` is not a duration: write for instance 30m, 2h or 1d"},
		{"pause project a[ for 1h", "is not a glob pattern"},
		{"resume all", "No pause has the scope `all`"},
		{"mute rule told channel <#C0000000099|ci> for 1h", "public: …muted notifications (`rule:told, channel:ci`) until …`/pipesteward unmute rule told channel #ci`"},
		{"unmute rule told", "No mute has the scope `rule:told`"},
		{"status", "1 rule in force. In the queue: …Nothing is paused or muted."},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, actionstest.Everybody)
			job := told(h, gitlabtest.Job{}, "failed")
			fill := strings.NewReplacer("HOST", h.GitLab.URL(), "JOB", itoa(job.ID), "PIPELINE", itoa(job.PipelineID), "PROJECT", itoa(job.ProjectID))
			r := h.Type(actionstest.Ada, fill.Replace(c.command))
			h.WorkOff()
			h.WantReplies(r, fill.Replace(c.says))
		})
	}
}

// TestProjectsByID: a project's id stands for its path, also to end what has that path; what
// is in force for the very word that is typed ends first, such as a path from before a move.
func TestProjectsByID(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	id := itoa(told(h, gitlabtest.Job{}, "failed").ProjectID)
	if _, err := (pause.Pauses{Store: h.DB, Now: h.Now, Log: slog.New(slog.DiscardHandler)}).Pause(t.Context(), event.Pause{Project: id, By: "the API"}, false, ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, says string }{
		{"pause project " + id, "public: …`project:platform/shop`"},
		{"resume project " + id, "public: …ended the pause `project:" + id + "`"},
		{"resume project " + id, "public: …ended the pause `project:platform/shop`"},
		{"resume project " + id, "No pause has the scope `project:platform/shop`"},
		{"mute project " + id, "public: …`project:platform/shop`"},
		{"unmute project " + id, "public: …ended the mute `project:platform/shop`"},
	} {
		r := h.Type(actionstest.Ada, c.command)
		h.Work()
		h.WantReplies(r, c.says)
	}
}

// TestSteeringNeedsAnOperator: rights in a project suffice for exactly that one; everything
// else has no project, which the rights of operators cover alone.
func TestSteeringNeedsAnOperator(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command, does string
		ofProject     bool
	}{
		{"pause all", chatops.CommandPause, false},
		{"pause project platform/shop", chatops.CommandPause, true},
		{"pause project platform/sh*", chatops.CommandPause, false},
		{"pause project platform", chatops.CommandPause, false}, // a group
		{"pause rule told", chatops.CommandPause, false},
		{"resume project platform/shop", chatops.CommandResume, true},
		{"mute project platform/shop rule told", chatops.ButtonMute, true},
		{"mute channel #ci", chatops.ButtonMute, false},
		{"status", chatops.CommandStatus, false},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			var project int64
			var does string
			h := open(t, notices, func(_ chatops.Person, to chatops.Target, d string) (string, error) {
				if d == chatops.ButtonWhy { // that they may see
					return "", nil
				}
				project, does = to.Project, d
				return "Only operators.", nil
			})
			job := told(h, gitlabtest.Job{}, "failed")
			r := h.Type(actionstest.Bob, c.command)
			h.WorkOff()
			h.WantReplies(r, "Only operators.")
			want := int64(0)
			if c.ofProject {
				want = job.ProjectID
			}
			if project != want || does != c.does {
				t.Errorf("rights to %s in project %d were checked, want to %s in %d", does, project, c.does, want)
			}
			if changes, err := h.Audit().List(t.Context()); err != nil || len(changes) > 0 {
				t.Errorf("changes %+v, %v; want none", changes, err)
			}
		})
	}
}

// TestOutsidersAskGitLabNothing: they are refused by what Slack says of them.
func TestOutsidersAskGitLabNothing(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"why JOB", "retry JOB", "pause project platform/shop", "unmute project platform/shop", "status", "report"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, actionstest.Everybody)
			job := told(h, gitlabtest.Job{}, "failed")
			before := h.GitLab.Count("", "")
			r := h.Type(actionstest.Eve, strings.ReplaceAll(command, "JOB", h.GitLab.URL()+"/platform/shop/-/jobs/"+itoa(job.ID)))
			h.WorkOff()
			h.WantReplies(r, "Guests may not do this.")
			if n := h.GitLab.Count("", "") - before; n != 0 {
				t.Errorf("GitLab gets %d requests", n)
			}
		})
	}
}

// TestWhatIsNotSeenIsNotToldApart: people who may not see a project do not learn whether it,
// or a job of it, is there.
func TestWhatIsNotSeenIsNotToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ command, says string }{
		{"why HOST/PROJECT/-/jobs/ID", "There is no job ID of PROJECT that both you and Pipesteward may see"},
		{"retry HOST/PROJECT/-/jobs/ID", "There is no job ID of PROJECT that both you and Pipesteward may see"},
		{"retry HOST/PROJECT/-/pipelines/101", "There is no pipeline 101 of PROJECT that both you and Pipesteward may see"},
		{"pause project PROJECT", "No right in project 0."},
		{"unmute project PROJECT", "No right in project 0."},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, func(_ chatops.Person, to chatops.Target, _ string) (string, error) {
				return fmt.Sprintf("No right in project %d.", to.Project), nil
			})
			job := told(h, gitlabtest.Job{}, "failed")
			for _, named := range [][2]string{{"platform/shop", itoa(job.ID)}, {"platform/shop", "999"}, {"platform/gone", "999"}} {
				fill := strings.NewReplacer("HOST", h.GitLab.URL(), "PROJECT", named[0], "ID", named[1])
				r := h.Type(actionstest.Bob, fill.Replace(c.command))
				h.WorkOff()
				h.WantReplies(r, fill.Replace(c.says))
			}
		})
	}
}

// TestOutageOfGitLab: the person does not wait for its end.
func TestOutageOfGitLab(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	job := told(h, gitlabtest.Job{}, "failed")
	h.GitLab.Fail(gitlabtest.Fault{Status: http.StatusServiceUnavailable, Times: -1})
	r := h.Type(actionstest.Ada, "retry "+h.GitLab.URL()+"/platform/shop/-/jobs/"+itoa(job.ID))
	for range 200 {
		h.Work()
		h.Clock.Advance(1e9)
	}
	h.WantReplies(r, "That failed: ")
}
