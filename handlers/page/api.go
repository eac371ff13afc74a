package page

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/handlers"
)

// codeOf returns the HTTP status for an error.
func codeOf(err error) int {
	if refused, is := errors.AsType[*handlers.RefusedError](err); is {
		return refused.Code
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

// call sends a request to the API, as the person whose request r is. The error is a
// *handlers.RefusedError if the API refuses it.
func (r *request) call(method, address string, body []byte, into any) error {
	return handlers.InProcess{API: r.page.api, Sender: r.c.Request()}.Call(r.c.Request().Context(), method, address, body, into)
}
