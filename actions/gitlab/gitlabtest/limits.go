package gitlabtest

import (
	"fmt"
	"net/http"
)

// tooManyTimes is the text of an application limit's answer, which has no headers.
const tooManyTimes = "This endpoint has been requested too many times. Try again later."

// answerTooManyTimes answers as check_rate_limit! does (lib/api/helpers/rate_limiter.rb).
func answerTooManyTimes(w http.ResponseWriter, words string) {
	writeJSON(w, http.StatusTooManyRequests, object{"message": object{"error": words}})
}

// limit is how many calls of an endpoint are answered in one minute.
type limit struct {
	object  string // job, pipeline, project or user
	allowed int
}

// applicationLimits are those of GitLab 19.4
// (lib/gitlab/application_rate_limiter.rb); that of erase is behind a flag there.
var applicationLimits = map[string][]limit{
	"POST /projects/{project}/jobs/{job}/retry":                     {{"job", 3}, {"project", 1250}},
	"POST /projects/{project}/jobs/{job}/play":                      {{"job", 3}, {"project", 750}},
	"POST /projects/{project}/jobs/{job}/erase":                     {{"job", 5}, {"project", 400}},
	"POST /projects/{project}/pipelines/{pipeline}/retry":           {{"pipeline", 5}, {"project", 200}},
	"POST /projects/{project}/pipelines/{pipeline}/cancel":          {{"pipeline", 5}, {"project", 120}},
	"GET /projects/{project}/jobs":                                  {{"user", 600}},
	"POST /projects/{project}/merge_requests/{merge_request}/notes": {{"user", 300}},
}

// withinLimits counts a call; false: there were too many in this minute, and 429
// is answered.
func (c *call) withinLimits(pattern string) bool {
	if !c.s.o.ApplicationLimits {
		return true
	}
	if minute := c.s.o.Now().Unix() / 60; minute != c.s.limitMinute || c.s.limited == nil {
		c.s.limitMinute, c.s.limited = minute, map[string]int{}
	}
	within := true
	for _, l := range applicationLimits[pattern] {
		key := fmt.Sprintf("%s %s %s", pattern, l.object, c.r.PathValue(l.object))
		c.s.limited[key]++
		within = within && c.s.limited[key] <= l.allowed
	}
	if !within {
		answerTooManyTimes(c.w, tooManyTimes)
	}
	return within
}
