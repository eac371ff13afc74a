package gitlabtest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	maxOffset      = 50000
	maxTotal       = 10000 // longer lists have no totals
)

// number reads a positive integer parameter; false: 400 is answered.
func (c *call) number(parameter string, ifMissing int) (int, bool) {
	text := c.r.URL.Query().Get(parameter)
	if text == "" {
		return ifMissing, true
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		c.fail(http.StatusBadRequest, parameter+" is invalid")
		return 0, false
	}
	if n < 1 {
		c.fail(http.StatusBadRequest, parameter+" does not have a valid value")
		return 0, false
	}
	return n, true
}

// id reads an id parameter; 0 for none, false: 400 is answered.
func (c *call) id(parameter string) (int64, bool) {
	text := c.r.URL.Query().Get(parameter)
	if text == "" {
		return 0, true
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, parameter+" is invalid")
	}
	return id, err == nil
}

// boolean reads a parameter that is true or false; nil for none, false: 400 is
// answered.
func (c *call) boolean(parameter string) (*bool, bool) {
	switch c.r.URL.Query().Get(parameter) {
	case "":
		return nil, true
	case "true", "1":
		return new(true), true
	case "false", "0":
		return new(false), true
	}
	c.fail(http.StatusBadRequest, parameter+" is invalid")
	return nil, false
}

// oneOf reads a parameter that has one of these values, the first by default;
// false: 400 is answered.
func (c *call) oneOf(parameter string, values ...string) (string, bool) {
	value := cmp.Or(c.r.URL.Query().Get(parameter), values[0])
	if !slices.Contains(values, value) {
		c.fail(http.StatusBadRequest, parameter+" does not have a valid value")
		return "", false
	}
	return value, true
}

// accessLevel reads a parameter that is a role's number (Gitlab::Access); 0 for
// none, false: 400 is answered.
func (c *call) accessLevel(parameter string) (int, bool) {
	level, ok := c.id(parameter)
	if ok && !slices.Contains([]int64{0, 5, 10, 15, 20, 30, 40, 50}, level) {
		c.fail(http.StatusBadRequest, parameter+" does not have a valid value")
		return 0, false
	}
	return int(level), ok
}

func (c *call) perPage() (int, bool) {
	n, ok := c.number("per_page", defaultPerPage)
	return min(n, maxPerPage), ok
}

// offsetPage returns the requested page of a list and sets its headers
// (Gitlab::Pagination::OffsetHeaderBuilder), which have totals where they are
// wanted and the list is not long; false: 400 is answered.
func offsetPage[T any](c *call, list iter.Seq[T], totals bool) ([]T, bool) {
	perPage, ok := c.perPage()
	if !ok {
		return nil, false
	}
	page, ok := c.number("page", 1)
	if !ok {
		return nil, false
	}
	var items []T
	from, n := (page-1)*perPage, 0 // n: how many there are, as far as that is of interest
	for item := range list {
		if n >= from && n < from+perPage {
			items = append(items, item)
		}
		n++
		if n > from+perPage && (!totals || n > maxTotal) {
			break
		}
	}
	totals = totals && n <= maxTotal
	pages := max(1, (n+perPage-1)/perPage)

	h := c.w.Header()
	h.Set("X-Per-Page", strconv.Itoa(perPage))
	h.Set("X-Page", strconv.Itoa(page))
	h.Set("X-Next-Page", "")
	h.Set("X-Prev-Page", "")
	var links []string
	link := func(page int, rel string) {
		links = append(links, c.link(rel, "page", strconv.Itoa(page)))
	}
	if page > 1 {
		h.Set("X-Prev-Page", strconv.Itoa(page-1))
		link(page-1, "prev")
	}
	if n > from+perPage {
		h.Set("X-Next-Page", strconv.Itoa(page+1))
		link(page+1, "next")
	}
	link(1, "first")
	if totals {
		link(pages, "last")
		h.Set("X-Total", strconv.Itoa(n))
		h.Set("X-Total-Pages", strconv.Itoa(pages))
	}
	h.Set("Link", strings.Join(links, ", "))
	return items, true
}

// projectJobsPage returns the requested page of a project's jobs, newest first: by
// offset without totals, or by keyset, which this list has since 15.9
// (Gitlab::Pagination::CursorBasedKeyset); false: an error is answered.
func (c *call) projectJobsPage(jobs list[*job], wanted func(*job) bool) ([]*job, bool) {
	q := c.r.URL.Query()
	if q.Get("pagination") != "keyset" {
		page, pageOK := c.number("page", 1)
		perPage, perPageOK := c.perPage()
		if pageOK && perPageOK && page*perPage > maxOffset {
			c.fail(http.StatusMethodNotAllowed, fmt.Sprintf("Offset pagination has a maximum allowed offset of %d for requests that return objects of type Ci::Build. Remaining records can be retrieved using keyset pagination.", maxOffset))
			return nil, false
		}
		return offsetPage(c, filter(jobs.backward(jobs.len()), wanted), false)
	}

	ordered := func(parameter, only string) bool { return q.Get(parameter) == "" || q.Get(parameter) == only }
	if !c.s.version.atLeast(15, 9) || !ordered("order_by", "id") || !ordered("sort", "desc") {
		c.fail(http.StatusMethodNotAllowed, "Keyset pagination is not yet available for this type of request")
		return nil, false
	}
	perPage, ok := c.perPage()
	if !ok {
		return nil, false
	}
	from := jobs.len()
	if cursor := q.Get("cursor"); cursor != "" {
		before, err := parseCursor(cursor)
		if err != nil {
			c.fail(http.StatusBadRequest, "cursor is invalid")
			return nil, false
		}
		from = jobs.before(before)
	}
	var page []*job
	for j := range filter(jobs.backward(from), wanted) {
		if len(page) == perPage {
			c.w.Header().Set("Link", c.link("next", "cursor", cursorAfter(page[perPage-1].ID)))
			break
		}
		page = append(page, j)
	}
	return page, true
}

// cursorAfter and parseCursor speak GitLab's form, which clients must not
// look into: base64 of the last row's key and the direction.
func cursorAfter(id int64) string {
	return base64.URLEncoding.EncodeToString(fmt.Appendf(nil, `{"id":"%d","_kd":"n"}`, id))
}

func parseCursor(cursor string) (id int64, err error) {
	text, err := base64.URLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscanf(string(text), `{"id":"%d"`, &id)
	return id, err
}

// link is one entry of a Link header: this request with one parameter changed.
func (c *call) link(rel, parameter, value string) string {
	q := url.Values{}
	for name, values := range c.r.URL.Query() {
		if name != "private_token" && name != "job_token" {
			q[name] = values
		}
	}
	q.Set(parameter, value)
	return fmt.Sprintf(`<%s%s?%s>; rel=%q`, c.s.url, c.r.URL.EscapedPath(), q.Encode(), rel)
}
