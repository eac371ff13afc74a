package mcp

import (
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
)

// maxRequest bounds a request, in bytes: the body of a hook is in one.
const maxRequest = 4 << 20

// HTTP serves the tools by streamable HTTP. It keeps no sessions, so any replica answers any
// request.
type HTTP struct {
	// Sources are what the tools read, besides the API.
	Sources Sources
}

// Register adds the address of the tools beside those of the admin API, which is e. They
// read it as the sender of the request, so the API alone decides who may do what, and
// commands in its answers name the address that the sender uses.
func (h HTTP) Register(e *echo.Echo) {
	e.POST(admin.PathMCP, func(c echo.Context) error {
		from := h.Sources
		from.API = inProcess{handlers.InProcess{API: e, Sender: c.Request()}}
		server := NewServer(from)
		sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
			Stateless: true, JSONResponse: true, MaxRequestBodyBytes: maxRequest, PropagateRequestCancellation: true,
			DisableLocalhostProtection: true, // the admin address checks Host, and knows its external URL
		}).ServeHTTP(c.Response(), c.Request())
		return nil
	})
}

// inProcess reads the API of this process.
type inProcess struct{ handlers.InProcess }

// Get implements API.
func (p inProcess) Get(ctx context.Context, path string, query url.Values, into any) error {
	return p.Call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, into)
}
