package endpoint

import "strings"

// items names what a segment of a path says, by the segment before it.
var items = map[string]string{
	"all":            "user", // of members
	"branches":       "branch",
	"groups":         "group",
	"hooks":          "hook",
	"jobs":           "job",
	"merge_requests": "merge_request",
	"notes":          "note",
	"pipelines":      "pipeline",
	"projects":       "project",
	"statuses":       "sha",
	"users":          "user",
}

// Template returns the path of a call below /api/v4/ with names in place of ids, as
// projects/{project}/jobs/{job}: there are as many templates as calls of the API.
func Template(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments[1:] {
		if item, is := items[segments[i]]; is {
			segments[i+1] = "{" + item + "}"
		}
	}
	return strings.Join(segments, "/")
}
