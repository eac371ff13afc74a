package page

import (
	"net/url"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// story is what the view shows of an answer of GET /api/v1/why.
type story struct {
	URL      string       `json:"url"`
	Project  string       `json:"project"`
	Job      subject      `json:"job"`
	Pipeline subject      `json:"pipeline"`
	Verdict  string       `json:"verdict"`
	Answer   string       `json:"answer"`
	Notes    []string     `json:"notes"` // what else a person should know; after a newline, the command for it
	Next     []string     `json:"next"`  // what to do, likewise
	Timeline []happened   `json:"timeline"`
	Rules    []ruleInView `json:"rules"`
	Of       string       `json:"rules_of"`
	Problems []string     `json:"problems"`
}

// subject is a job or a pipeline.
type subject struct {
	ID            int64  `json:"id"`
	Name          string `json:"name"`
	Status        string `json:"status"`
	FailureReason string `json:"failure_reason"`
	Ref           string `json:"ref"`
	URL           string `json:"url"`
}

// happened is an item of the timeline.
type happened struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Text     string    `json:"text"`
	Failed   bool      `json:"failed"`
	Minor    bool      `json:"minor"`
	Decision string    `json:"decision"`
}

// ruleInView is what a rule made of the event.
type ruleInView struct {
	Rule        string            `json:"rule"`
	File        string            `json:"file"`
	Line        int               `json:"line"`
	Result      string            `json:"result"`
	Text        string            `json:"text"`
	Explanation event.Explanation `json:"explanation"`
}

// storyView is the data of the template; without a story it only asks for an address.
type storyView struct {
	Address string
	story
}

func readStory(r *request) (any, error) {
	v := storyView{Address: r.Get("url")}
	if v.Address == "" {
		return v, nil
	}
	err := r.get("/api/v1/why", url.Values{"url": {v.Address}}, &v.story)
	return v, err
}
