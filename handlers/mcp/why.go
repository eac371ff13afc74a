package mcp

import (
	"context"
	"net/url"
	"slices"

	"github.com/pipesteward/pipesteward/actions/story"
)

const (
	maxTimeline   = 100
	maxStoryRules = 30
)

type whyInput struct {
	URL string `json:"url" jsonschema:"the address of the job or the pipeline in GitLab, as the browser shows it, like https://gitlab.example.com/group/project/-/jobs/123"`
}

func why(ctx context.Context, from Sources, in whyInput) (s story.Story, notes []string, err error) {
	if err := from.API.Get(ctx, "/api/v1/why", url.Values{"url": {in.URL}}, &s); err != nil {
		return s, nil, err
	}
	if len(s.Timeline) > maxTimeline {
		s.Timeline = slices.DeleteFunc(s.Timeline, func(item story.Item) bool { return item.Minor })
		notes = append(notes, "the timeline leaves out what led to nothing, as was to be expected")
	}
	slices.Reverse(s.Timeline) // the newest are kept
	var cut []string
	s.Timeline, cut = first(s.Timeline, maxTimeline, "items of the timeline, the oldest,", "give the address of one of its jobs, if this is a pipeline")
	slices.Reverse(s.Timeline)
	notes = append(notes, cut...)
	s.Rules, cut = first(s.Rules, maxStoryRules, "rules, those that matter least,", `call "explain" with the name of a rule`)
	return s, append(notes, cut...), nil
}
