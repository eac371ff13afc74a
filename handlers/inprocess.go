package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"
)

// InProcess is an API in the same process, which is called as the sender of a request calls
// it: with the same credentials and at the same address.
type InProcess struct {
	API    http.Handler
	Sender *http.Request
}

// RefusedError is an answer of an API that is no success.
type RefusedError struct {
	Code int // the HTTP status
	Text string
}

func (e *RefusedError) Error() string { return e.Text }

// Call sends a request with a JSON body, which may be empty, and decodes the JSON of the
// answer. The error is a *RefusedError if the API refuses it.
func (p InProcess) Call(ctx context.Context, method, address string, body []byte, into any) error {
	target, err := url.Parse(address)
	if err != nil {
		return err
	}
	req := p.Sender.Clone(ctx)
	req.Method, req.URL, req.RequestURI = method, target, address
	req.Body, req.ContentLength, req.Form, req.PostForm = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil, nil
	req.Header.Set(echo.HeaderAccept, echo.MIMEApplicationJSON)
	req.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	answer := &recorder{header: http.Header{}, code: http.StatusOK}
	p.API.ServeHTTP(answer, req)
	if answer.code/100 != 2 {
		var refused Response
		if json.Unmarshal(answer.body.Bytes(), &refused) != nil || refused.Error == "" {
			refused.Error = fmt.Sprintf("%s answers %d", target.Path, answer.code)
		}
		return &RefusedError{answer.code, refused.Error}
	}
	return json.Unmarshal(answer.body.Bytes(), into)
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(code int) { a.code = code }

func (a *recorder) Write(b []byte) (int, error) { return a.body.Write(b) }
