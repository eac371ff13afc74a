package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxRequest bounds a request, in bytes: the body of a hook is in one.
const maxRequest = 4 << 20

// HTTP serves the tools by streamable HTTP. It keeps no sessions, so any replica answers any
// request.
type HTTP struct {
	// Sources are what the tools read, besides the API.
	Sources Sources
}

// Serve answers one request of a client who may read. read serves the API, and asks nobody
// who they are.
func (h HTTP) Serve(w http.ResponseWriter, r *http.Request, read http.Handler) {
	h.Sources.API = inProcess{read, r}
	server := NewServer(h.Sources)
	sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: maxRequest, PropagateRequestCancellation: true,
		DisableLocalhostProtection: true, // the admin address checks Host, and knows its external URL
	}).ServeHTTP(w, r)
}

// inProcess reads the API of this process as the sender of a request sees it: commands in
// answers name the address that the sender uses.
type inProcess struct {
	read   http.Handler
	sender *http.Request
}

// Get implements API.
func (p inProcess) Get(ctx context.Context, path string, query url.Values, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	r.Host, r.TLS, r.RemoteAddr = p.sender.Host, p.sender.TLS, p.sender.RemoteAddr
	answer := response{header: http.Header{}, code: http.StatusOK}
	p.read.ServeHTTP(&answer, r)
	if answer.code == http.StatusOK {
		return json.Unmarshal(answer.body.Bytes(), into)
	}
	var refused struct{ Error string }
	if json.Unmarshal(answer.body.Bytes(), &refused) != nil || refused.Error == "" {
		return fmt.Errorf("the API answers %d", answer.code)
	}
	return errors.New(refused.Error)
}

// response keeps what a handler answers.
type response struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(code int)        { r.code = code }
func (r *response) Write(b []byte) (int, error) { return r.body.Write(b) }
