package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

const help = `  fail JOB [REASON]  fail a job; one that has ended begins anew
  pass JOB           let it pass
  list               the jobs
  quit               end the demo; so does Ctrl-C`

// defaultReason is why `fail` fails a job: the rules of the demo retry that.
const defaultReason = "runner_system_failure"

// keep stays up until ctx is done or, where there are commands, a command or their end
// ends it.
func (s *story) keep(ctx context.Context, commands io.Reader) {
	if commands == nil {
		s.say("\nCtrl-C ends it.")
		<-ctx.Done()
		return
	}
	s.print("\nOr type here:\n\n" + help + "\n")
	lines := make(chan string)
	go func() { // it ends with the process: a read from a terminal can't be cut short
		defer close(lines)
		for in := bufio.NewScanner(commands); in.Scan(); {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		s.ask()
		select {
		case <-ctx.Done():
			s.print("")
			return
		case line, more := <-lines:
			if !more {
				s.print("")
				return
			}
			err := s.command(ctx, strings.Fields(line))
			if errors.Is(err, errQuit) || ctx.Err() != nil {
				return
			}
			if err != nil {
				s.say("%v", err)
			}
		}
	}
}

// ask prints the prompt.
func (s *story) ask() {
	s.narrator.mu.Lock()
	defer s.narrator.mu.Unlock()
	fmt.Fprint(s.w, "demo> ")
}

var errQuit = errors.New("quit")

// command carries out one line of the prompt.
func (s *story) command(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	switch words[0] {
	case "fail":
		reason := defaultReason
		if len(words) == 3 {
			reason = words[2]
		}
		if known := event.FailureReasons(); !slices.Contains(known, reason) {
			return fmt.Errorf("%q is no failure reason of GitLab%s: it has script_failure, for one", reason, spelling.Suggestion(reason, known))
		}
		return s.end(ctx, words[1:], 2, "failed", reason)
	case "pass":
		return s.end(ctx, words[1:], 1, "success", "")
	case "list":
		s.list()
		return nil
	case "help", "?":
		s.print(help)
		return nil
	case "quit", "exit":
		return errQuit
	}
	return fmt.Errorf("%q is no command%s\n%s", words[0], spelling.Suggestion(words[0], []string{"fail", "pass", "list", "help", "quit"}), help)
}

// end ends a job that words names first: its run that waits for a runner or, where it has
// none, one of a new pipeline.
func (s *story) end(ctx context.Context, words []string, most int, status, reason string) error {
	if len(words) == 0 || len(words) > most {
		return fmt.Errorf("name one job, such as %s %s; `list` shows them", map[string]string{"failed": "fail", "success": "pass"}[status], s.names()[0])
	}
	r := s.repoOf(words[0])
	if r == nil {
		return fmt.Errorf("there is no job %q%s; `list` shows them", words[0], spelling.Suggestion(words[0], s.names()))
	}
	job := s.gitlab.Latest(r.pipeline, words[0])
	if job.Status == "created" {
		return fmt.Errorf("%s waits for the jobs of the stages before it: end them first", job.Name)
	}
	if job.Status != "pending" && job.Status != "running" {
		s.push(r, "Once more")
		job = s.gitlab.Latest(r.pipeline, words[0])
	}
	if job.Status == "created" {
		return fmt.Errorf("%s waits in the new pipeline for the jobs of the stages before it: end them first", job.Name)
	}
	if job.Status == "pending" {
		s.runs(job)
	}
	s.gitlab.SetLog(job.ID, "Typed at the demo's prompt: "+status+".\n")
	before := s.outcomes()
	s.ends(job, status, reason)
	s.gitlab.Flush()
	if err := s.await(ctx, "the end of Pipesteward's work on it", func() bool { return true }); err != nil {
		return err
	}
	if s.outcomes() == before {
		s.happens("Pipesteward", "leaves it alone: no rule wants anything done")
	}
	return nil
}

// list prints the jobs of the newest pipelines.
func (s *story) list() {
	for _, r := range s.repos {
		p := s.gitlab.Pipeline(r.pipeline)
		s.print(fmt.Sprintf("  %s, pipeline %d on %s: %s", r.project.Path, p.ID, p.Ref, p.Status))
		for _, name := range r.names() {
			job := s.gitlab.Latest(r.pipeline, name)
			s.print(strings.TrimRight(fmt.Sprintf("    %-16s job %d  %-8s %s", name, job.ID, job.Status, job.FailureReason), " "))
		}
	}
}

// repoOf returns the repository whose pipelines have the job; nil for none.
func (s *story) repoOf(name string) *repo {
	for _, r := range s.repos {
		if slices.ContainsFunc(r.jobs, func(j gitlabtest.Job) bool { return j.Name == name }) {
			return r
		}
	}
	return nil
}

// names returns the names of all jobs.
func (s *story) names() (all []string) {
	for _, r := range s.repos {
		all = append(all, r.names()...)
	}
	return all
}

func (r *repo) names() (names []string) {
	for _, j := range r.jobs {
		names = append(names, j.Name)
	}
	return names
}
