package gitlabtest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// mergeRequestID identifies a merge request.
type mergeRequestID struct{ project, iid int64 }

// Note is a comment on a merge request.
type Note struct {
	ID        int64
	Body      string
	Author    User
	System    bool // GitLab says so of a change
	CreatedAt time.Time
	UpdatedAt time.Time
}

// maxNote is how many characters a note may have (Note in GitLab's source).
const maxNote = 1_000_000

// AddNote adds a comment by a person to a merge request of a project, and returns its id.
func (s *Server) AddNote(project, iid int64, by User, body string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addNote(mergeRequestID{project, iid}, by, body).ID
}

// DeleteNote removes a comment, as a person may.
func (s *Server) DeleteNote(project, iid, note int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := mergeRequestID{project, iid}
	s.notes[id] = slices.DeleteFunc(s.notes[id], func(n *Note) bool { return n.ID == note })
}

// Notes lists the comments on a merge request of a project, oldest first.
func (s *Server) Notes(project, iid int64) []Note {
	s.mu.Lock()
	defer s.mu.Unlock()
	return each(s.notes[mergeRequestID{project, iid}], func(n *Note) Note { return *n })
}

// ChangeMergeRequest changes the merge request of a pipeline, as people do.
func (s *Server) ChangeMergeRequest(pipeline int64, change func(*MergeRequest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := *must(s.pipelines, pipeline, "pipeline").MergeRequest
	change(&changed)
	s.pipelines[pipeline].MergeRequest = &changed
}

func (s *Server) addNote(id mergeRequestID, by User, body string) *Note {
	now := s.o.Now()
	n := &Note{ID: s.nextID(0, &s.lastID.note), Body: body, Author: by, CreatedAt: now, UpdatedAt: now}
	s.notes[id] = append(s.notes[id], n)
	return n
}

// notesOf finds the merge request of the path; false: 404 is answered.
func (c *call) notesOf() (mergeRequestID, bool) {
	p := c.findMergeRequest()
	if p == nil {
		return mergeRequestID{}, false
	}
	return mergeRequestID{c.project.ID, p.MergeRequest.IID}, true
}

func (c *call) listNotes() {
	id, ok := c.notesOf()
	if !ok {
		return
	}
	sort, ok := c.oneOf("sort", "desc", "asc")
	if !ok {
		return
	}
	if _, ok := c.oneOf("order_by", "created_at", "updated_at"); !ok {
		return
	}
	all := slices.Clone(c.s.notes[id])
	if sort == "desc" {
		slices.Reverse(all)
	}
	if page, ok := offsetPage(c, slices.Values(all), true); ok {
		writeJSON(c.w, http.StatusOK, each(page, func(n *Note) object { return c.apiNote(id, n) }))
	}
}

// createNote answers as API::Notes does. Archived projects take no notes; quick actions
// are carried out and not kept, and a note of these alone is none.
func (c *call) createNote() {
	id, ok := c.notesOf()
	if !ok {
		return
	}
	body, ok := c.noteBody(true)
	if !ok {
		return
	}
	if c.project.Archived {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	left := withoutQuickActions(body)
	if left == "" && body != "" {
		writeJSON(c.w, http.StatusAccepted, object{"commands_changes": object{}, "summary": []string{"Applied the quick actions."}})
		return
	}
	writeJSON(c.w, http.StatusCreated, c.apiNote(id, c.s.addNote(id, c.s.o.Bot, left)))
}

// editNote lets the note's author and Maintainers replace its body.
func (c *call) editNote() {
	id, ok := c.notesOf()
	if !ok {
		return
	}
	note, err := strconv.ParseInt(c.r.PathValue("note"), 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "note_id is invalid")
		return
	}
	i := slices.IndexFunc(c.s.notes[id], func(n *Note) bool { return n.ID == note })
	if i < 0 {
		c.message(http.StatusNotFound, "404 Not found")
		return
	}
	body, ok := c.noteBody(false)
	if !ok {
		return
	}
	n := c.s.notes[id][i]
	if c.project.Archived || n.System || n.Author.ID != c.s.o.Bot.ID && c.project.Role != Maintainer {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	n.Body, n.UpdatedAt = withoutQuickActions(body), c.s.o.Now()
	writeJSON(c.w, http.StatusOK, c.apiNote(id, n))
}

// noteBody reads the body of a note; false: 400 is answered.
func (c *call) noteBody(required bool) (string, bool) {
	var given struct {
		Body *string `json:"body"`
	}
	switch {
	case !c.params(&given):
		return "", false
	case given.Body == nil && required:
		c.fail(http.StatusBadRequest, "body is missing")
		return "", false
	case given.Body == nil, strings.TrimSpace(*given.Body) == "":
		c.message(http.StatusBadRequest, `400 Bad request - Note {:note=>["can't be blank"]}`)
		return "", false
	case utf8.RuneCountInString(*given.Body) > maxNote:
		c.message(http.StatusBadRequest, fmt.Sprintf(`400 Bad request - Note {:note=>["is too long (maximum is %d characters)"]}`, maxNote))
		return "", false
	}
	return *given.Body, true
}

// quickAction matches the lines that GitLab takes for commands. Lines of code blocks are
// left out here, too, which GitLab does not take for commands.
var quickAction = regexp.MustCompile(`(?m)^/[a-z_]+\b.*$`)

func withoutQuickActions(body string) string {
	return strings.TrimSpace(quickAction.ReplaceAllString(body, ""))
}

// apiNote is a note (API::Entities::Note).
func (c *call) apiNote(id mergeRequestID, n *Note) object {
	return object{
		"id": n.ID, "type": nil, "body": n.Body, "author": c.s.apiUser(n.Author), "system": n.System,
		"created_at": isoTime(n.CreatedAt), "updated_at": isoTime(n.UpdatedAt),
		"project_id": id.project, "resolvable": false, "confidential": false, "internal": false,
	}
}
