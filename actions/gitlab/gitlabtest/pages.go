package gitlabtest

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// servePage shows the page that a web_url leads to, in plain text.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	page := s.page(s.external + r.URL.Path)
	if page == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, page) // an error here is the client's: it went away
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
	}
	return text.String()
}
