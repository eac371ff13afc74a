package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/auth"
)

// answerFile is the template of what is no view: errors, and the state of a session.
const answerFile = "answer"

// answerTitles are the titles of such pages, by the HTTP status.
var answerTitles = map[int]string{
	http.StatusOK:                  "Session",
	http.StatusUnauthorized:        "Not signed in",
	http.StatusForbidden:           "Not allowed",
	http.StatusNotFound:            "Not found",
	http.StatusMethodNotAllowed:    "Not possible here",
	http.StatusTooManyRequests:     "Too many requests",
	http.StatusMisdirectedRequest:  "Another address",
	http.StatusInternalServerError: "An error",
	http.StatusServiceUnavailable:  "Not available now",
}

// answer shows a response that has no more than a text. The navigation is there for those who
// may read.
func (p *Page) answer(c echo.Context, code int, response handlers.Response) error {
	title, known := answerTitles[code]
	if !known {
		title = http.StatusText(code)
	}
	s := p.frame(&request{c: c, page: p}, &view{Title: title, file: answerFile})
	if auth.RoleOf(c) < auth.RoleRead {
		s.Views = nil
	}
	s.Done, s.Problem, s.Next = response.Status, response.Error, response.Next
	return p.write(c, code, s)
}
