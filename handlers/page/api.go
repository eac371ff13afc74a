package page

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// apiError is an answer of the API that is no success.
type apiError struct {
	code int // the HTTP status
	text string
}

func (e *apiError) Error() string { return e.text }

// codeOf returns the HTTP status for an error.
func codeOf(err error) int {
	if refused, is := errors.AsType[*apiError](err); is {
		return refused.code
	}
	return http.StatusInternalServerError
}

// get reads an address of the API. Parameters without a value are left out, as those of a
// form that was not filled in.
func (r *request) get(path string, query url.Values, into any) error {
	given := url.Values{}
	for name, values := range query {
		if len(values) > 0 && values[0] != "" {
			given[name] = values
		}
	}
	return r.call(http.MethodGet, path+"?"+given.Encode(), nil, into)
}

// post sends a change to the API.
func (r *request) post(path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return r.call(http.MethodPost, path, text, into)
}

// call sends a request to the API, as the person whose request r is. The error is an
// *apiError if the API refuses it.
func (r *request) call(method, address string, body []byte, into any) error {
	target, err := url.Parse(address)
	if err != nil {
		return err
	}
	req := r.c.Request().Clone(r.c.Request().Context())
	req.Method, req.URL, req.RequestURI = method, target, address
	req.Body, req.ContentLength, req.Form, req.PostForm = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil, nil
	req.Header.Set(echo.HeaderAccept, echo.MIMEApplicationJSON)
	req.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	answer := &recorder{header: http.Header{}, code: http.StatusOK}
	r.page.api.ServeHTTP(answer, req)
	if answer.code/100 != 2 {
		var refused handlers.Response
		if json.Unmarshal(answer.body.Bytes(), &refused) != nil || refused.Error == "" {
			refused.Error = fmt.Sprintf("%s answers %d", target.Path, answer.code)
		}
		return &apiError{answer.code, refused.Error}
	}
	return json.Unmarshal(answer.body.Bytes(), into)
}

// recorder keeps an answer of the API.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(code int) { a.code = code }

func (a *recorder) Write(b []byte) (int, error) { return a.body.Write(b) }
