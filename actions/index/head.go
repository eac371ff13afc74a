package index

import (
	"cmp"
	"strings"
	"unique"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/store"
)

// head is what a decision is found by.
type head struct {
	seq uint64 // the place of its entry in the journal
	at  int64  // when its entry was added, in microseconds since 1970
	id  string

	rule, verb, result, project, ref unique.Handle[string]

	alsoWantedBy             []unique.Handle[string]
	projectID, pipeline, job int64
	text                     string // the texts that people know it by, in lower case, with a NUL after each
}

// decision is the part of event.Outcome that is in a head. It is decoded in half the time of
// that.
type decision struct {
	ID           string   `json:"id"`
	Rule         string   `json:"rule"`
	AlsoWantedBy []string `json:"also_wanted_by"`
	Action       struct {
		Verb string `json:"verb"`
	} `json:"action"`
	Result  string `json:"outcome"`
	Reason  string `json:"reason"`
	Project struct {
		ID   int64  `json:"id"`
		Path string `json:"path"`
	} `json:"project"`
	Pipeline struct {
		ID  int64  `json:"id"`
		Ref string `json:"ref"`
	} `json:"pipeline"`
	Job struct {
		ID            int64  `json:"id"`
		Name          string `json:"name"`
		Ref           string `json:"ref"`
		FailureReason string `json:"failure_reason"`
		FailureClass  string `json:"failure_class"`
	} `json:"job"`
	Commit struct {
		Title string `json:"title"`
	} `json:"commit"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	MergeRequest struct {
		Title string `json:"title"`
	} `json:"merge_request"`
	By struct {
		Name string `json:"name"`
	} `json:"by"`
}

// headOf returns the head of an entry. ok is false for one that can't be read, which is
// logged.
func (x *Index) headOf(e store.Entry) (h head, ok bool) {
	var d decision
	if err := json.Unmarshal(e.Body, &d); err != nil {
		x.Log.Error("journal entry not readable", "decision", e.ID, "error", err)
		return head{}, false
	}
	ref := cmp.Or(d.Job.Ref, d.Pipeline.Ref)
	h = head{
		seq: e.Seq, at: e.At.UnixMicro(), id: e.ID,
		rule: unique.Make(d.Rule), verb: unique.Make(d.Action.Verb), result: unique.Make(d.Result), project: unique.Make(d.Project.Path), ref: unique.Make(ref),
		projectID: d.Project.ID, pipeline: d.Pipeline.ID, job: d.Job.ID,
		text: strings.ToLower(strings.Join([]string{
			d.ID, d.Project.Path, d.Rule, d.Job.Name, d.Reason, d.Job.FailureReason, d.Job.FailureClass, ref,
			d.Commit.Title, d.User.Username, d.MergeRequest.Title, d.By.Name,
		}, "\x00")),
	}
	for _, rule := range d.AlsoWantedBy {
		h.alsoWantedBy = append(h.alsoWantedBy, unique.Make(rule))
	}
	if strings.HasPrefix(h.text, h.id) {
		h.id = h.text[:len(h.id)] // the same memory
	}
	return h, true
}
