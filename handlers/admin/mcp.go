package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// pathMCP is where assistants find their tools.
const pathMCP = "/mcp"

// Assistants serves assistants by the Model Context Protocol.
type Assistants interface {
	// Serve answers a request whose sender may read. read serves the part of the API that
	// only reads, and asks nobody who they are.
	Serve(w http.ResponseWriter, r *http.Request, read http.Handler)
}

// assistants adds the address for assistants. What they read is the API itself.
func (a *admin) assistants(e *echo.Echo) {
	read := handlers.NewEcho(a.Log, func() {})
	read.Use(knownQuery)
	a.readers(read)
	e.POST(pathMCP, func(c echo.Context) error {
		a.Assistants.Serve(c.Response(), c.Request(), read)
		return nil
	})
}
