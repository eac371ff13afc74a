// Package page is the page on the admin address: what the admin API has, for people in a
// browser. It is a client of that API, in the same process: whatever it shows and changes
// goes through a request to the API with the person's own credentials, so the API alone
// decides who may do what, checks input, and records who changed what.
//
// A view is two files: NAME.go reads its data, and views/NAME.tmpl shows them. Its template
// defines "controls" (what a person fills in) and "live" (what changes by itself). The views
// are listed in views.go. All of it works without a script: forms and links. assets/page.js
// adds keys, and requests the server-sent events of the view from its address (live.go).
package page

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/auth"
)

// Page is the page. Register adds it to the admin address.
type Page struct {
	Now func() time.Time
	Log *slog.Logger

	live chan struct{} // one for each stream of events
	api  http.Handler
}

// New returns a page.
func New(now func() time.Time, log *slog.Logger) *Page {
	return &Page{Now: now, Log: log, live: make(chan struct{}, maxStreams)}
}

// Register adds the routes of the page beside those of the admin API, which is e.
func (p *Page) Register(e *echo.Echo) {
	p.api = e
	handlers.ShowPages(e, p.answer)
	for i := range views {
		v := &views[i]
		e.GET(v.Path, func(c echo.Context) error { return p.show(c, v) })
		if len(v.changes) > 0 {
			e.POST(v.Path, func(c echo.Context) error { return p.change(c, v) })
		}
	}
	e.GET(admin.PathAssets, serveAsset)
}

// view is one page.
type view struct {
	Path, Title string
	Key         string  // after g, this key opens it; "": it is not in the navigation
	file        string  // the name of its template in views, without its ending
	still       bool    // browsers do not follow it: reading it again and again would press GitLab or the store
	fields      []field // the parameters of its address
	// read returns the data of the template.
	read func(r *request) (data any, err error)
	// changes are what the forms of the view do, by the value of their button "do".
	changes map[string]change
}

// change is what a form does.
type change struct {
	done   string  // what a person reads afterwards
	fields []field // of the form, besides the button
	// do makes the change; the warnings are about what was changed.
	do func(r *request) (warnings []string, err error)
}

// request is a request of a browser.
type request struct {
	c          echo.Context
	page       *Page
	url.Values // of the query; of the form, where one was sent
	status     admin.Status
}

// shown is the data of the templates.
type shown struct {
	Views      []view
	View       *view
	Status     admin.Status
	User       string // "": nobody is authenticated
	MayOperate bool
	Done       string   // what a change did
	Problem    string   // why a change was not made
	Warnings   []string // about a change that was made
	Next       string   // the path where a person goes on after Done or Problem; "": nowhere
	SignOut    *auth.SignOut
	Form       url.Values
	Now        time.Time
	Data       any
}

// show answers with a view, or with its events.
func (p *Page) show(c echo.Context, v *view) error {
	r := &request{c: c, page: p, Values: c.QueryParams()}
	if err := check(c, v); err != nil {
		return p.fail(r, v, err)
	}
	if c.Request().Header.Get(echo.HeaderAccept) == eventStream && !v.still {
		return p.stream(r, v)
	}
	s, err := p.read(r, v)
	if err != nil {
		return p.fail(r, v, err)
	}
	s.Done = v.changes[r.Get(fieldDone)].done
	return p.write(c, http.StatusOK, s)
}

// fieldDone is the parameter that says which change was made before, and fieldDo the field
// that says which one to make.
const (
	fieldDone = "done"
	fieldDo   = "do"
)

// check returns a refusal if the address has what the view does not take.
func check(c echo.Context, v *view) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return refused("the address can't be read: %v", err)
	}
	fields := v.fields
	if _, known := v.changes[query.Get(fieldDone)]; known {
		fields = append(named(fieldDone), fields...)
	}
	return checkFields("the address", query, fields)
}

// read reads what a view shows.
func (p *Page) read(r *request, v *view) (s *shown, err error) {
	if err = r.get("/api/v1/status", nil, &r.status); err != nil {
		return nil, err
	}
	s = p.frame(r, v)
	s.Status = r.status
	s.Data, err = v.read(r)
	return s, err
}

// frame returns what is the same on all views.
func (p *Page) frame(r *request, v *view) *shown {
	return &shown{Views: views, View: v, User: auth.User(r.c), MayOperate: auth.RoleOf(r.c) == auth.RoleOperate, Form: r.Values, Now: p.Now(), SignOut: auth.SignOutOf(r.c)}
}

// maxForm bounds the body of a form, in bytes.
const maxForm = 16 << 10

// change makes the change that a form requests. The browser is sent back to the view, so
// that loading that again changes nothing; unless there is more to say than that it is done.
func (p *Page) change(c echo.Context, v *view) error {
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxForm)
	sent, err := c.FormParams()
	form := &request{c: c, page: p, Values: sent}
	if err != nil {
		return p.fail(form, v, &handlers.RefusedError{Code: http.StatusBadRequest, Text: "the form can't be read: " + err.Error()})
	}
	made, known := v.changes[sent.Get(fieldDo)]
	if !known {
		return p.fail(form, v, refused("the form does not say what to do: use one of this page"))
	}
	query := c.QueryParams()
	err = check(c, v)
	if err == nil {
		err = checkFields("the form", c.Request().PostForm, append(named(fieldDo), made.fields...))
	}
	if err != nil {
		return p.fail(form, v, err)
	}
	warnings, failed := made.do(form)
	if failed == nil && len(warnings) == 0 {
		query.Set(fieldDone, sent.Get(fieldDo))
		return c.Redirect(http.StatusSeeOther, v.Path+"?"+query.Encode())
	}
	s, err := p.read(&request{c: c, page: p, Values: query}, v)
	if err != nil {
		return p.fail(form, v, cmp.Or(failed, err))
	}
	s.Form, s.Warnings = sent, warnings
	if failed == nil {
		s.Done = made.done
		return p.write(c, http.StatusOK, s)
	}
	s.Problem = inLabels(failed.Error(), made.fields)
	return p.write(c, codeOf(failed), s)
}

// fail answers that a view can't be shown.
func (p *Page) fail(r *request, v *view, err error) error {
	code := codeOf(err)
	if code == http.StatusInternalServerError {
		p.Log.ErrorContext(r.c.Request().Context(), "the page can't be shown", "path", r.c.Path(), "error", err)
		err = errors.New("something went wrong here: see the log")
	}
	s := p.frame(r, v)
	s.Problem, s.Next = inLabels(err.Error(), v.fields), v.Path
	return p.write(r.c, code, s)
}

// contentPolicy lets the page load nothing but its own assets, and send forms and requests
// to its own address only.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// write answers with a whole page.
func (p *Page) write(c echo.Context, code int, s *shown) error {
	page, err := render(s, "page")
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentSecurityPolicy, contentPolicy)
	header.Set(echo.HeaderXContentTypeOptions, "nosniff")
	header.Set(echo.HeaderReferrerPolicy, "same-origin")
	header.Set(echo.HeaderCacheControl, "no-store")
	header.Set(echo.HeaderVary, echo.HeaderAccept)
	return c.HTMLBlob(code, page)
}
