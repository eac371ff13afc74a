package gitlab

import (
	"errors"
	"net/url"
	"strconv"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

// cursor is a position in a list: the parameters that the next page's query adds
// to the first one's. The rest of that query, and the address, are never taken from
// a cursor: a changed one can't send the token anywhere else.
type cursor struct {
	after string // of keyset paging, GitLab's own text
	page  int64  // of offset paging, from 1; 0: none
}

// nextCursor returns the cursor of the page after an answer, "" for none.
func nextCursor(resp *gl.Response) string {
	next := url.Values{}
	if link, err := url.Parse(resp.NextLink); err == nil && link.Query().Get("cursor") != "" {
		next.Set("cursor", link.Query().Get("cursor"))
	} else if resp.NextPage > 0 {
		next.Set("page", strconv.FormatInt(resp.NextPage, 10))
	}
	return next.Encode()
}

// parseCursor parses the result of nextCursor.
func parseCursor(text string) (cursor, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return cursor{}, errCursor
	}
	c := cursor{after: query.Get("cursor")}
	if page := query.Get("page"); page != "" {
		if c.page, err = strconv.ParseInt(page, 10, 64); err != nil || c.page < 1 {
			return cursor{}, errCursor
		}
	}
	if text != "" && (c.after == "") == (c.page == 0) || len(query) > 1 {
		return cursor{}, errCursor
	}
	return c, nil
}

var errCursor = errors.New("gitlab: the cursor of a list of jobs can't be read: begin with the first page")

// option adds the cursor to a request; nil: there is nothing to add.
func (c cursor) option() gl.RequestOptionFunc {
	if c.after == "" {
		return nil
	}
	return gl.WithKeysetPaginationParameters("?" + url.Values{"cursor": {c.after}}.Encode())
}
