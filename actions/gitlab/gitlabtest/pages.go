package gitlabtest

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// servePage shows the page that a web_url leads to, in plain text. A POST to a job's page
// with /fail or /pass behind it ends the job, as its runner would.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.endOnPage(w, r)
		return
	}
	page := s.page(s.external + r.URL.Path)
	if page == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, page) // an error here is the client's: it went away
}

// endOnPage ends the job whose page a POST is below. A failure has the query's reason,
// default runner_system_failure.
func (s *Server) endOnPage(w http.ResponseWriter, r *http.Request) {
	page, how := path.Split(s.external + r.URL.Path)
	id, _ := strconv.ParseInt(path.Base(page), 10, 64)
	if status, found := s.endJob(id, page, how, r.URL.Query().Get("reason")); !found {
		http.NotFound(w, r)
		return
	} else if status != "pending" && status != "running" {
		http.Error(w, "the job is "+status+": only one that is pending or running can end", http.StatusConflict)
		return
	}
	_, _ = io.WriteString(w, s.page(strings.TrimSuffix(page, "/"))) // an error here is the client's: it went away
}

// endJob ends the job on a page, if it is pending or running, and returns the status that
// it had.
func (s *Server) endJob(id int64, page, how, reason string) (status string, found bool) {
	s.lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil || j.WebURL+"/" != page || how != "fail" && how != "pass" {
		return "", false
	}
	status = j.Status
	switch {
	case status != "pending" && status != "running":
	case how == "pass":
		s.finish(j, "success", "")
	default:
		s.finish(j, "failed", cmp.Or(reason, "runner_system_failure"))
	}
	return status, true
}

// page is the text at a URL; "" for none.
func (s *Server) page(url string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, p := range s.projects {
		if p.WebURL != url {
			continue
		}
		fmt.Fprintf(&text, "%s\n\n", p.Path)
		pipelines, n := p.allPipelines(), 0
		for pl := range pipelines.backward(pipelines.len()) {
			if n++; n > maxPerPage {
				fmt.Fprintln(&text, "...")
				break
			}
			pl = pl.whole()
			fmt.Fprintf(&text, "%-10s %s  %s\n", pl.Status, pl.WebURL, title(pl.Message))
		}
	}
	id, _ := strconv.ParseInt(path.Base(url), 10, 64)
	if p := s.pipeline(id); p != nil && p.WebURL == url {
		fmt.Fprintf(&text, "%s: pipeline %d for %s is %s\n\n", p.project.Path, p.ID, p.Ref, p.Status)
		for _, j := range p.jobs {
			fmt.Fprintf(&text, "%-10s %s  %s: %s  %s\n", j.Status, j.WebURL, j.Stage, j.Name, j.FailureReason)
		}
	}
	if j := s.job(id); j != nil && j.WebURL == url {
		fmt.Fprintf(&text, "%s: job %d, %s: %s, is %s %s\n%s\n\n%s", j.pipeline.project.Path, j.ID, j.Stage, j.Name, j.Status, j.FailureReason, j.pipeline.WebURL, j.log())
		if j.Status == "pending" || j.Status == "running" {
			fmt.Fprintf(&text, "\nTo end it: curl -X POST %s/fail   (or /pass)\n", j.WebURL)
		}
	}
	return text.String()
}
