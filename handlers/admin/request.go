package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxRequest bounds the body of a request to the admin API, in bytes.
const maxRequest = 16 << 10

// readRequest decodes a JSON body strictly. It requires JSON's content type, which a
// web page of another origin can't send without a preflight request.
func readRequest(c echo.Context, into any) error { return readAtMost(c, into, maxRequest) }

// readAtMost is readRequest for a body of at most so many bytes.
func readAtMost(c echo.Context, into any, most int64) error {
	if kind, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType)); err != nil || kind != echo.MIMEApplicationJSON {
		return errors.New("the body must be JSON: send it with Content-Type: application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, most))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return fmt.Errorf("%w: it has more than %d bytes", errTooLarge, most)
	}
	if err != nil {
		return fmt.Errorf("the body can't be read: %w", err)
	}
	if len(body) > 0 && body[0] != '{' {
		return errors.New("the body must be a JSON object, such as {} for everything")
	}
	if name, twice := givenTwice(body); twice {
		return fmt.Errorf("parameter %q is given twice: give it once", name)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	var kind *json.UnmarshalTypeError
	var date *time.ParseError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return errors.New("the body is empty: send a JSON object, such as {} for everything")
	case errors.As(err, &kind):
		return fmt.Errorf("parameter %q must be %s, not %s", kind.Field, kindsOfJSON[kind.Type.Kind()], kind.Value)
	case errors.As(err, &date):
		return fmt.Errorf("%s is not a time: write for instance 2026-12-24T18:00:00Z", date.Value)
	}
	return fmt.Errorf("the body can't be read: %w", err)
}

// givenTwice returns the name of a member that a JSON object has more than once: the last
// one would silently win. Letter case does not matter, as in decoding. Of text that is no
// JSON, what can be read of it counts: decoding returns its error.
func givenTwice(body []byte) (name string, twice bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if _, err := decoder.Token(); err != nil {
		return "", false
	}
	for seen := map[string]bool{}; decoder.More(); {
		token, err := decoder.Token()
		name, is := token.(string)
		if err != nil || !is {
			return "", false
		}
		if seen[strings.ToLower(name)] {
			return name, true
		}
		seen[strings.ToLower(name)] = true
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return "", false
		}
	}
	return "", false
}

// errTooLarge is the error of a body over the limit.
var errTooLarge = errors.New("the body is too large")

// badRequest answers that a request has a mistake.
func badRequest(c echo.Context, err error) error {
	code := http.StatusBadRequest
	if errors.Is(err, errTooLarge) {
		code = http.StatusRequestEntityTooLarge
	}
	return c.JSON(code, handlers.Response{Error: err.Error()})
}

// readOptional is readRequest for a body that may be missing.
func readOptional(c echo.Context, into any) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	return readRequest(c, into)
}

// changed records a change that a request has made outside of the store, or in several steps. If
// that is impossible, the change stands, and the log has it.
func (a *admin) changed(c echo.Context, change event.Change) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), storeTimeout)
	defer cancel()
	change.From = c.RealIP()
	if err := a.Changes.Record(ctx, change); err != nil {
		a.Log.ErrorContext(c.Request().Context(), "a change by an operator could not be recorded", "change", change.Action, "target", change.Target, "by", change.By, "from", change.From, "error", err)
	}
}

// actor returns who makes a request, for the journal and the log: the authenticated user,
// or, where nobody is authenticated, the name that the request gives, "" if it gives none.
func actor(c echo.Context, by string) string { return cmp.Or(auth.User(c), by) }

// kindsOfJSON describes the value that a member of a request's body must have.
var kindsOfJSON = map[reflect.Kind]string{reflect.String: "a text", reflect.Bool: "true or false", reflect.Struct: "a text", reflect.Int64: "a whole number", reflect.Float64: "a number", reflect.Slice: "a list"}
