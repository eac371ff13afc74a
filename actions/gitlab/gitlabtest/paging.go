package gitlabtest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	maxOffset      = 50000
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

func (c *call) perPage() (int, bool) {
	n, ok := c.number("per_page", defaultPerPage)
	return min(n, maxPerPage), ok
}

// offsetPage is the page asked for of a list, its headers set
// (Gitlab::Pagination::OffsetHeaderBuilder); false: 400 is answered.
func offsetPage[T any](c *call, list []T, totals bool) ([]T, bool) {
	perPage, ok := c.perPage()
	if !ok {
		return nil, false
	}
	page, ok := c.number("page", 1)
	if !ok {
		return nil, false
	}
	from := min((page-1)*perPage, len(list))
	to := min(from+perPage, len(list))
	pages := max(1, (len(list)+perPage-1)/perPage)

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
	if to < len(list) {
		h.Set("X-Next-Page", strconv.Itoa(page+1))
		link(page+1, "next")
	}
	link(1, "first")
	if totals {
		link(pages, "last")
		h.Set("X-Total", strconv.Itoa(len(list)))
		h.Set("X-Total-Pages", strconv.Itoa(pages))
	}
	h.Set("Link", strings.Join(links, ", "))
	return list[from:to], true
}

// projectJobsPage is the page asked for of a project's jobs, newest first: by
// offset without totals, or by keyset, which this list has since 15.9
// (Gitlab::Pagination::CursorBasedKeyset); false: an error is answered.
func (c *call) projectJobsPage(jobs []*job) ([]*job, bool) {
	q := c.r.URL.Query()
	if q.Get("pagination") != "keyset" {
		page, pageOK := c.number("page", 1)
		perPage, perPageOK := c.perPage()
		if pageOK && perPageOK && page*perPage > maxOffset {
			c.fail(http.StatusMethodNotAllowed, fmt.Sprintf("Offset pagination has a maximum allowed offset of %d for requests that return objects of type Ci::Build. Remaining records can be retrieved using keyset pagination.", maxOffset))
			return nil, false
		}
		return offsetPage(c, jobs, false)
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
	if cursor := q.Get("cursor"); cursor != "" {
		before, err := parseCursor(cursor)
		if err != nil {
			c.fail(http.StatusBadRequest, "cursor is invalid")
			return nil, false
		}
		for len(jobs) > 0 && jobs[0].ID >= before {
			jobs = jobs[1:]
		}
	}
	if len(jobs) > perPage {
		jobs = jobs[:perPage]
		c.w.Header().Set("Link", c.link("next", "cursor", cursorAfter(jobs[perPage-1].ID)))
	}
	return jobs, true
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
