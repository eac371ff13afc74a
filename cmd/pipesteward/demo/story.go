package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// story plays the people, the runners and the code, scene after scene.
type story struct {
	*service
	gitlab *gitlabtest.Server
	repos  []*repo
	stuck  gitlabtest.Job // the job that the first scene begins with
	beat   time.Duration  // between two steps
}

// repo is a repository that people push to.
type repo struct {
	project  gitlabtest.Project
	ref      string
	jobs     []gitlabtest.Job // of each pipeline
	pipeline int64            // the newest
}

func (s *story) play(ctx context.Context) error {
	for i, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A job gets stuck. Its code is fine, so it is retried until it passes, and staging is deployed.", s.stuckJob},
		{"A job fails because its code is red. No retry mends that: it is left alone.", s.redJob},
		{"A review app is done. Its job logs are erased.", s.erasedLog},
	} {
		s.title(i+1, scene.title)
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("demo: scene %d: %w", i+1, err)
		}
	}
	s.say("\nThat was it: %d outcomes, each in the journal with its reason.", s.outcomes())
	return nil
}

func (s *story) stuckJob(ctx context.Context) error {
	shop := s.repo("platform/shop", "",
		gitlabtest.Job{Stage: "test", Name: "integration"},
		gitlabtest.Job{Stage: "deploy", Name: "deploy-staging", When: "manual", AllowFailure: true},
	)
	s.push(shop, "Add a basket")

	s.stuck = s.gitlab.Latest(shop.pipeline, "integration")
	s.ends(s.stuck, "failed", "stuck_pending_with_matching_runners")
	second, err := s.nextRun(ctx, s.stuck)
	if err != nil {
		return err
	}
	s.runs(second)
	s.ends(second, "failed", "runner_system_failure")
	third, err := s.nextRun(ctx, second)
	if err != nil {
		return err
	}
	s.runs(third)
	s.ends(third, "success", "")

	deploy := func() gitlabtest.Job { return s.gitlab.Latest(shop.pipeline, "deploy-staging") }
	if err := s.await(ctx, "deploy-staging is played", func() bool { return deploy().Status == "pending" }); err != nil {
		return err
	}
	s.runs(deploy())
	s.ends(deploy(), "success", "")
	return nil
}

func (s *story) redJob(ctx context.Context) error {
	search := s.repo("platform/search", "", gitlabtest.Job{Stage: "test", Name: "unit-tests"})
	s.push(search, "Faster index")
	job := s.gitlab.Latest(search.pipeline, "unit-tests")
	s.runs(job)
	s.gitlab.SetLog(job.ID, "expected 3 hits, got 2\nERROR: Job failed: exit code 1\n")
	s.ends(job, "failed", "script_failure")

	// Its log is read, because a rule asks for it, and then nothing happens.
	read := func() bool { return s.gitlab.Count("GET", fmt.Sprintf("/jobs/%d/trace", job.ID)) > 0 }
	if err := s.await(ctx, "the job's log is read", read); err != nil {
		return err
	}
	if err := s.await(ctx, "the queue is empty", func() bool { return s.queued(ctx) == 0 }); err != nil {
		return err
	}
	if latest := s.gitlab.Latest(search.pipeline, "unit-tests"); latest.ID != job.ID {
		return fmt.Errorf("the red job %d was retried as job %d", job.ID, latest.ID)
	}
	s.happens("Pipesteward", "read its log, found no full disk, and leaves it alone: Ada's to mend")
	return nil
}

func (s *story) erasedLog(ctx context.Context) error {
	website := s.repo("platform/website", "review/new-colors", gitlabtest.Job{Stage: "review", Name: "review-app"})
	s.push(website, "New colors")
	job := s.gitlab.Latest(website.pipeline, "review-app")
	s.runs(job)
	s.gitlab.SetLog(job.ID, strings.Repeat("Uploading...\n", 1000))
	s.ends(job, "success", "")
	return s.await(ctx, "the log is erased", func() bool { return !s.gitlab.Job(job.ID).ErasedAt.IsZero() })
}

// repo adds a project with a repository, whose pipelines have the jobs; the ref "" is the
// default branch.
func (s *story) repo(path, ref string, jobs ...gitlabtest.Job) *repo {
	r := &repo{project: s.gitlab.AddProject(gitlabtest.Project{Path: path}), ref: ref, jobs: jobs}
	s.repos = append(s.repos, r)
	return r
}

// push adds a pipeline.
func (s *story) push(r *repo, message string) {
	p := s.gitlab.AddPipeline(r.project.ID, gitlabtest.Pipeline{Message: message, Ref: r.ref}, r.jobs...)
	r.pipeline = p.ID
	s.happens("Ada", "pushes «%s» to %s, branch %s\n%s", message, r.project.Path, p.Ref, p.WebURL)
}

// runs lets a runner take the job.
func (s *story) runs(job gitlabtest.Job) {
	time.Sleep(s.beat)
	s.gitlab.Run(job.ID)
	s.happens("GitLab", "%s runs as job %d", job.Name, job.ID)
}

// ends finishes the job.
func (s *story) ends(job gitlabtest.Job, status, reason string) {
	time.Sleep(s.beat)
	s.gitlab.Finish(job.ID, status, reason)
	if reason != "" {
		status += ", " + reason
	}
	s.happens("GitLab", "%s (job %d): %s\n%s", job.Name, job.ID, status, job.WebURL)
}

// nextRun waits for a newer run of the job.
func (s *story) nextRun(ctx context.Context, job gitlabtest.Job) (gitlabtest.Job, error) {
	var latest gitlabtest.Job
	err := s.await(ctx, job.Name+" is retried", func() bool {
		latest = s.gitlab.Latest(job.PipelineID, job.Name)
		return latest.ID != job.ID && latest.Status == "pending"
	})
	return latest, err
}
