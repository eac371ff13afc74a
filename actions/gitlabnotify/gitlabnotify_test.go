package gitlabnotify_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/claimed"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/gitlabnotify"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

var (
	_ notify.Receiver = (*gitlabnotify.Notifier)(nil)
	_ notify.Escaper  = (*gitlabnotify.Notifier)(nil)
	_ claimed.State   = store.Guard(nil)
)

// fixture is a merge request with a pipeline, of the project or of a fork.
type fixture struct {
	*testing.T
	clock    *storetest.Clock
	gitlab   *gitlabtest.Server
	db       store.Store
	pauses   pause.Pauses
	shop     gitlabtest.Project
	fork     gitlabtest.Project
	pipeline gitlabtest.Pipeline
	job      gitlabtest.Job
}

const iid = 7

func setUp(t *testing.T, change func(*gitlabtest.Project)) *fixture {
	t.Helper()
	f := &fixture{T: t, clock: storetest.NewClock()}
	f.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: f.clock.Now, ApplicationLimits: true})
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f.db, f.pauses = db, pause.Pauses{Store: db, Now: f.clock.Now, Log: slog.New(slog.DiscardHandler)}
	shop := gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Developer}
	if change != nil {
		change(&shop)
	}
	f.shop = f.gitlab.AddProject(shop)
	f.fork = f.gitlab.AddProject(gitlabtest.Project{Path: "ann/shop", ForkOf: f.shop.ID})
	f.gitlab.AddPipeline(f.fork.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: iid, SourceBranch: "own", TargetBranch: "main"}}, gitlabtest.Job{Name: "of the fork"})
	f.add(f.shop.ID, &gitlabtest.MergeRequest{IID: iid, Title: "Sell more", SourceBranch: "more", TargetBranch: "main"})
	return f
}

// add adds the pipeline that outcomes are of.
func (f *fixture) add(project int64, mr *gitlabtest.MergeRequest) {
	f.Helper()
	f.pipeline = f.gitlab.AddPipeline(project, gitlabtest.Pipeline{MergeRequest: mr}, gitlabtest.Job{Name: "rspec"})
	f.job = f.gitlab.Latest(f.pipeline.ID, "rspec")
}

// replica returns a Notifier as another process has it.
func (f *fixture) replica(change func(*gitlabnotify.Config)) *gitlabnotify.Notifier {
	f.Helper()
	gl, err := gitlab.New(gitlab.Config{
		BaseURL: f.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: f.clock.Now, Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	c := gitlabnotify.Config{GitLab: gl, State: f.db, Pauses: f.pauses}
	if change != nil {
		change(&c)
	}
	return gitlabnotify.New(c)
}

// outcome returns an outcome about a job of the pipeline, a minute after the last one.
func (f *fixture) outcome(job, result string) event.Outcome {
	f.clock.Advance(time.Minute)
	var o event.Outcome
	o.ID, o.Rule, o.Action.Verb, o.Result, o.At = fmt.Sprintf("%s-%d", job, f.clock.Now().Unix()), "retry-runner", event.VerbRetry, result, f.clock.Now()
	o.Meta.Kind, o.Meta.Instance = event.KindJob, f.gitlab.URL()
	o.Project.ID, o.Project.Path, o.Project.URL = f.shop.ID, f.shop.Path, f.shop.WebURL
	o.Pipeline.ID, o.Pipeline.Ref, o.Pipeline.URL = f.pipeline.ID, f.pipeline.Ref, f.pipeline.WebURL
	o.Job.ID, o.Job.Name, o.Job.Attempt, o.Job.URL = f.job.ID, job, 3, f.job.WebURL
	return o
}

// ofFork changes an outcome into one of a pipeline that ran in the fork.
func (f *fixture) ofFork(o event.Outcome) event.Outcome {
	o.Project.ID, o.Project.Path, o.Project.URL = f.fork.ID, f.fork.Path, f.fork.WebURL
	return o
}

func to(channel string) event.Notice {
	return event.Notice{Address: event.Address{Receiver: event.ReceiverGitLab, Channel: channel}}
}

var (
	onMergeRequest = to(event.ChannelMergeRequest)
	onCommit       = to(event.ChannelCommit)
)

func (f *fixture) notify(n *gitlabnotify.Notifier, o event.Outcome, notice event.Notice) {
	f.Helper()
	if err := n.Notify(f.Context(), o, notice); err != nil {
		f.Fatal(err)
	}
}

// note returns the only note on the merge request.
func (f *fixture) note() gitlabtest.Note {
	f.Helper()
	notes := f.gitlab.Notes(f.shop.ID, iid)
	if len(notes) != 1 {
		f.Fatalf("there are %d notes, want 1: %+v", len(notes), notes)
	}
	return notes[0]
}

// rows returns the first cells of the note's lines: outcome and job.
func rows(n gitlabtest.Note) (all []string) {
	for i, row := range strings.Split(n.Body, "\n") {
		if cells := strings.Split(row, " | "); i > 4 && len(cells) > 3 {
			name, _, _ := strings.Cut(strings.TrimPrefix(cells[1], "["), "]")
			all = append(all, strings.TrimPrefix(cells[0], "| ")+" "+name)
		}
	}
	return all
}

// One note tells the newest outcome of each job, and is edited.
func TestOneNoteIsEdited(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	late := f.outcome("rspec", event.ResultDeferred)
	late.WaitsFor = event.WaitStorm
	f.notify(n, f.outcome("lint", event.ResultGaveUp), onMergeRequest)
	first := f.note()
	for range 2 { // a repetition changes nothing
		f.notify(n, f.outcome("rspec", event.ResultRecovered), onMergeRequest)
	}
	f.notify(n, late, onMergeRequest)
	last := f.note()
	if got, want := strings.Join(rows(last), ", "), "recovered `rspec`, gave up `lint`"; got != want {
		t.Errorf("the note has %q, want %q:\n%s", got, want, last.Body)
	}
	if first.ID != last.ID {
		t.Errorf("note %d is not note %d", last.ID, first.ID)
	}
	for _, want := range []string{"[`rspec`](" + f.job.WebURL + ")", fmt.Sprintf("[`%d`](%s)", f.pipeline.ID, f.pipeline.WebURL), " | 3 | `retry-runner` | "} {
		if !strings.Contains(last.Body, want) {
			t.Errorf("the note lacks %q:\n%s", want, last.Body)
		}
	}
	storm := f.outcome("build", event.ResultDeferred)
	storm.WaitsFor, storm.Reason = event.WaitStorm, "storm of runner failures"
	f.notify(n, storm, onMergeRequest)
	if got := rows(f.note())[0]; got != "waits for the end of a storm `build`" {
		t.Errorf("a storm is told as %q", got)
	}
	for i := range 20 {
		f.notify(n, f.outcome(fmt.Sprintf("job%d", i), event.ResultGaveUp), onMergeRequest)
	}
	if body := f.note().Body; !strings.Contains(body, "not shown: 8") || strings.Count(body, "gave up") != 15 {
		t.Errorf("the note has no bound:\n%s", body)
	}
}

// Replicas that notify at the same time write one note, which has all lines.
func TestReplicasWriteOneNote(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	var running sync.WaitGroup
	for i := range 4 {
		n, o := f.replica(nil), f.outcome(fmt.Sprintf("job%d", i), event.ResultGaveUp)
		running.Go(func() {
			err := n.Notify(t.Context(), o, onMergeRequest)
			for ; event.Transient(err); err = n.Notify(t.Context(), o, onMergeRequest) {
				runtime.Gosched()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if got := rows(f.note()); len(got) != 4 {
		t.Errorf("the note has %q, want the lines of 4 jobs", got)
	}
	if n := f.gitlab.Count(http.MethodPost, "/notes"); n != 1 {
		t.Errorf("%d notes were posted", n)
	}
}

// After a post whose answer was lost, the note is found by its mark, but not before the
// claim has expired; a note of others with the same mark is left alone.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	person := gitlabtest.User{ID: 3, Username: "ada"}
	f.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/notes", After: true, Cut: true})
	o := f.outcome("rspec", event.ResultGaveUp)
	if err := n.Notify(t.Context(), o, onMergeRequest); !event.Transient(err) {
		t.Fatalf("error %v, want one that passes", err)
	}
	first := f.note()
	copied := f.gitlab.AddNote(f.shop.ID, iid, person, first.Body)
	if err := f.replica(nil).Notify(t.Context(), o, onMergeRequest); !event.Transient(err) || f.gitlab.Count(http.MethodGet, "/notes") != 1 {
		t.Errorf("error %v, %d searches: it must wait until the post has certainly ended", err, f.gitlab.Count(http.MethodGet, "/notes"))
	}
	f.clock.Advance(2 * time.Minute)
	f.notify(f.replica(nil), o, onMergeRequest)
	f.notify(n, f.outcome("lint", event.ResultGaveUp), onMergeRequest)
	notes := f.gitlab.Notes(f.shop.ID, iid)
	if len(notes) != 2 || notes[0].ID != first.ID || len(rows(notes[0])) != 2 || notes[1].ID != copied || notes[1].Body != first.Body {
		t.Errorf("the notes are %+v", notes)
	}
}

// A note that somebody deleted is made anew; so is the record of one, from its mark.
func TestDeletedNoteAndLostRecord(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	f.notify(n, f.outcome("rspec", event.ResultGaveUp), onMergeRequest)
	f.gitlab.DeleteNote(f.shop.ID, iid, f.note().ID)
	f.notify(n, f.outcome("lint", event.ResultGaveUp), onMergeRequest)
	if got := rows(f.note()); len(got) != 2 {
		t.Errorf("the new note has %q, want both jobs", got)
	}
	first := f.note().ID
	f.clock.Advance(40 * 24 * time.Hour) // the record has expired
	f.notify(n, f.outcome("build", event.ResultGaveUp), onMergeRequest)
	if f.note().ID != first {
		t.Error("the note was not found again")
	}
}

// Of a pipeline that ran in a fork, the note is on the merge request of the project, and
// nothing is written to the fork, which has a merge request of the same number. The events
// of its jobs do not name the project; that of the pipeline does.
func TestFork(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.add(f.fork.ID, &gitlabtest.MergeRequest{IID: iid, ProjectID: f.shop.ID, SourceBranch: "more", TargetBranch: "main"})
	n := f.replica(nil)
	f.notify(n, f.ofFork(f.outcome("rspec", event.ResultGaveUp)), onMergeRequest)
	o := f.ofFork(f.outcome("lint", event.ResultGaveUp))
	o.Pipeline.Ref, o.MergeRequest.IID, o.MergeRequest.URL = "more", iid, f.shop.WebURL+"/-/merge_requests/7"
	f.notify(n, o, onMergeRequest)
	if got := rows(f.note()); len(got) != 2 {
		t.Errorf("the note has %q, want both jobs", got)
	}
	if notes := f.gitlab.Notes(f.fork.ID, iid); len(notes) != 0 {
		t.Errorf("the fork got notes: %+v", notes)
	}
	if err := n.Notify(t.Context(), o, onCommit); err == nil || event.Transient(err) || !strings.Contains(err.Error(), "fork") {
		t.Errorf("the status in a fork: %v", err)
	}
	if f.gitlab.Count(http.MethodPost, "") != 1 {
		t.Error("something else was posted")
	}
}

// Nothing is written where it must not be, and the error says why and what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	paused := func(f *fixture) {
		if _, err := f.pauses.Pause(f.Context(), event.Pause{Project: f.shop.Path, By: "ada"}, false, ""); err != nil {
			f.Fatal(err)
		}
	}
	state := func(state string) func(*fixture) {
		return func(f *fixture) {
			f.gitlab.ChangeMergeRequest(f.pipeline.ID, func(mr *gitlabtest.MergeRequest) { mr.State = state })
		}
	}
	for name, c := range map[string]struct {
		project func(*gitlabtest.Project)
		before  func(*fixture)
		config  func(*gitlabnotify.Config)
		outcome func(*event.Outcome)
		notice  event.Notice
		want    string
		again   bool
	}{
		"dry run, note":     {config: func(c *gitlabnotify.Config) { c.DryRun = true }, notice: onMergeRequest, want: "--dry-run"},
		"dry run, status":   {config: func(c *gitlabnotify.Config) { c.DryRun = true }, notice: onCommit, want: "--dry-run"},
		"paused, note":      {before: paused, notice: onMergeRequest, want: "paused (project:platform/shop) by ada", again: true},
		"paused, status":    {before: paused, notice: onCommit, want: "paused", again: true},
		"merged":            {before: state("merged"), notice: onMergeRequest, want: "!7 is merged"},
		"closed":            {before: state("closed"), notice: onMergeRequest, want: "!7 is closed"},
		"archived, note":    {project: func(p *gitlabtest.Project) { p.Archived = true }, notice: onMergeRequest, want: "403 Forbidden: give the token's user the role Reporter"},
		"archived, status":  {project: func(p *gitlabtest.Project) { p.Archived = true }, notice: onCommit, want: "403 Forbidden: give the token's user the role Developer"},
		"Reporter, status":  {project: func(p *gitlabtest.Project) { p.Role = gitlabtest.Reporter }, notice: onCommit, want: "role Developer"},
		"protected, status": {project: func(p *gitlabtest.Project) { p.ProtectedRefs = []string{"more"} }, notice: onCommit, want: "rights to push or merge where the ref is protected"},
		"another GitLab": {outcome: func(o *event.Outcome) {
			o.Meta.Instance, o.Project.URL = "https://other.example.com", "https://other.example.com/platform/shop"
		}, notice: onMergeRequest, want: "names another one", again: true},
		"a pipeline of nobody": {outcome: func(o *event.Outcome) { o.Pipeline.ID = 4711 }, notice: onMergeRequest, want: "no merge request !7 has pipeline 4711"},
		"a limit": {before: func(f *fixture) {
			f.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Status: 429, Message: "too many"})
		}, notice: onMergeRequest, want: "429", again: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t, c.project)
			if c.before != nil {
				c.before(f)
			}
			o := f.outcome("rspec", event.ResultGaveUp)
			if c.outcome != nil {
				c.outcome(&o)
			}
			err := f.replica(c.config).Notify(t.Context(), o, c.notice)
			if err == nil || !strings.Contains(err.Error(), c.want) || event.Transient(err) != c.again {
				t.Errorf("error %v, want one with %q; again: %t, want %t", err, c.want, event.Transient(err), c.again)
			}
			if len(f.gitlab.Notes(f.shop.ID, iid)) != 0 || len(f.gitlab.CommitStatuses(f.pipeline.ID)) != 0 {
				t.Error("something was written")
			}
		})
	}
}

// A merged merge request gets no note, but the one that it has is edited.
func TestNoteOfAMergedMergeRequest(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	f.notify(n, f.outcome("rspec", event.ResultGaveUp), onMergeRequest)
	f.gitlab.ChangeMergeRequest(f.pipeline.ID, func(mr *gitlabtest.MergeRequest) { mr.State = "merged" })
	f.notify(n, f.outcome("rspec", event.ResultRecovered), onMergeRequest)
	if got := rows(f.note()); len(got) != 1 || got[0] != "recovered `rspec`" {
		t.Errorf("the note has %q", got)
	}
}

// The status joins the pipeline of the event, passes whatever it tells, is short, and tells
// the newest outcome.
func TestCommitStatus(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	late := f.outcome("rspec", event.ResultFailed)
	first := f.outcome("rspec", event.ResultGaveUp)
	long := onCommit
	long.Text = strings.Repeat("é", 300) + "\n@all"
	for _, told := range []struct {
		o event.Outcome
		n event.Notice
	}{{first, onCommit}, {first, onCommit}, {late, onCommit}, {f.outcome("lint", event.ResultRecovered), long}} {
		f.notify(f.replica(nil), told.o, told.n)
	}
	f.notify(n, first, onCommit) // by a replica that is behind
	got := f.gitlab.CommitStatuses(f.pipeline.ID)
	if len(got) != 2 || got[0].Name != "pipesteward" || !got[0].Retried || got[1].Retried {
		t.Fatalf("the statuses are %+v", got)
	}
	if want := "Gave up on rspec: 3 attempts failed"; got[0].Description != want || got[0].TargetURL != f.job.WebURL || got[0].Ref != "refs/merge-requests/7/head" {
		t.Errorf("the status is %+v, want the description %q", got[0], want)
	}
	for _, s := range got {
		if s.State != "success" || len([]rune(s.Description)) > 255 {
			t.Errorf("a status that blocks, or that is long: %+v", s)
		}
	}
	if !strings.HasSuffix(got[1].Description, "é…") {
		t.Errorf("the rule's text is %q", got[1].Description)
	}
}

// Notes and statuses are in the language of their notices, and are cut between characters.
func TestInChinese(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	note, status := onMergeRequest, onCommit
	note.Language, status.Language = event.Chinese, event.Chinese
	storm := f.outcome("build", event.ResultDeferred)
	storm.WaitsFor = event.WaitStorm
	f.notify(n, storm, note)
	f.notify(n, f.outcome("rspec", event.ResultGaveUp), note)
	body := f.note().Body
	if got, want := strings.Join(rows(f.note()), ", "), "已放弃 `rspec`, 等待故障风暴结束 `build`"; got != want {
		t.Errorf("the note has %q, want %q:\n%s", got, want, body)
	}
	for _, want := range []string{"所做的操作：\n\n| 结果 | 作业 |", "已放弃作业 [`rspec`](" + f.job.WebURL + ")：3 次尝试均失败"} {
		if !strings.Contains(body, want) {
			t.Errorf("the note lacks %q:\n%s", want, body)
		}
	}
	long := f.outcome("rspec", event.ResultGaveUp)
	long.Job.Name, long.Reason = strings.Repeat("作业", 150), strings.Repeat("原因", 300)
	f.notify(n, long, status)
	got := f.gitlab.CommitStatuses(f.pipeline.ID)[0].Description
	if !strings.HasPrefix(got, "已放弃作业 作业") || !utf8.ValidString(got) || strings.ContainsRune(got, utf8.RuneError) || utf8.RuneCountInString(got) > 255 {
		t.Errorf("the status is %q, of %d characters", got, utf8.RuneCountInString(got))
	}
}
