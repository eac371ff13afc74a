package webhook

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

var (
	// ErrNotJSON says that a body is no JSON text: cut off, or never one.
	ErrNotJSON = errors.New("the body is not JSON")
	// ErrNoInterest says that a body is JSON but neither a Job Hook nor a
	// Pipeline Hook: another kind of hook, or one with a template of its own.
	ErrNoInterest = errors.New("neither a Job Hook nor a Pipeline Hook")
)

// FieldError says which field a hook cannot do without.
type FieldError struct {
	Field string // as GitLab names it, with dots
	Want  string // what was expected there
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("field %q: expected %s", e.Field, e.Want)
}

// Decode makes an event of the body of a Job Hook or Pipeline Hook of any
// GitLab since 2016. Of the event's Meta it sets Kind and Instance; instance
// is the base URL of the GitLab that sent the body ("" if unknown).
//
// Only what names the event must be there: the ids of the project and of the
// job or pipeline. Any other field that is missing, null or of an unexpected
// type is left zero, because what GitLab sends differs between versions.
//
// Errors: ErrNotJSON, ErrNoInterest, *FieldError.
func Decode(body []byte, instance string) (event.Event, error) {
	body = bytes.Clone(body)
	e, err := identify(body)
	if err != nil {
		return event.Event{}, err
	}
	e.Meta.Instance = instance
	return complete(e, body)
}

// identify reads off a body what names the event and its project, and its
// status: enough to refuse it or to know that no rule wants it, in a fraction of
// the time that the gitlabjson.Int takes. All of the body was looked at: what complete finds is JSON.
// The event's texts, here and in complete, lie in the body.
func identify(body []byte) (event.Event, error) {
	var h struct {
		ObjectKind  string          `json:"object_kind"`
		BuildID     gitlabjson.Int  `json:"build_id"`
		BuildStatus string          `json:"build_status"`
		Retries     *gitlabjson.Int `json:"retries_count"`
		ProjectID   gitlabjson.Int  `json:"project_id"`
		Project     struct {
			ID     gitlabjson.Int `json:"id"`
			WebURL string         `json:"web_url"`
			Path   string         `json:"path_with_namespace"`
		} `json:"project"`
		Repository struct { // where a Job Hook has no project
			Homepage string `json:"homepage"`
		} `json:"repository"`
		Pipeline struct {
			ID     gitlabjson.Int `json:"id"`
			Status string         `json:"status"`
		} `json:"object_attributes"`
	}
	if err := unmarshal(body, &h); err != nil {
		return event.Event{}, err
	}
	var e event.Event
	e.Project.ID = int64(cmp.Or(h.ProjectID, h.Project.ID))
	e.Project.URL, e.Project.Path = projectURL(h.Project.WebURL, h.Repository.Homepage), h.Project.Path
	switch h.ObjectKind {
	case "build":
		e.Meta.Kind, e.Job.ID, e.Job.Status = event.KindJob, int64(h.BuildID), h.BuildStatus
		if h.Retries != nil {
			e.Job.Attempt = int(max(*h.Retries, 0)) + 1
		}
		if h.BuildID <= 0 {
			return event.Event{}, &FieldError{"build_id", "the job's id, a whole number from 1"}
		}
		if e.Project.ID <= 0 {
			return event.Event{}, &FieldError{"project_id", "the project's id, a whole number from 1"}
		}
	case "pipeline":
		e.Meta.Kind, e.Pipeline.ID, e.Pipeline.Status = event.KindPipeline, int64(h.Pipeline.ID), h.Pipeline.Status
		if h.Pipeline.ID <= 0 {
			return event.Event{}, &FieldError{"object_attributes.id", "the pipeline's id, a whole number from 1"}
		}
		// GitLab 8 to 11 names the project by its path and page only.
		if e.Project.ID < 0 || e.Project.ID == 0 && e.Project.Path == "" && e.Project.URL == "" {
			return event.Event{}, &FieldError{"project.id", "the project's id, a whole number from 1, or its path_with_namespace"}
		}
	default:
		return event.Event{}, ErrNoInterest
	}
	return e, nil
}

// complete reads the rest of the event that was identified in the body.
// Where the body does not name the project's path, the event's instance tells.
func complete(e event.Event, body []byte) (event.Event, error) {
	h := hooks.Get().(*hook)
	defer h.release()
	if err := unmarshal(body, h); err != nil {
		return event.Event{}, err
	}
	e.Project = h.project(e.Project.ID, e.Meta.Instance)
	e.User = event.User{ID: int64(h.User.ID), Username: h.User.Username, Name: h.User.Name, Email: h.User.Email}
	if e.Meta.Kind == event.KindJob {
		h.completeJob(&e)
	} else {
		h.completePipeline(&e)
	}
	return e, nil
}

// unmarshal reads what JSON there is into h, whose texts lie in the body then:
// that takes half of the time and a tenth of the allocations. A value of the
// wrong type leaves its field zero and is no error: decoding went on behind it.
func unmarshal(body []byte, h any) error {
	err := json.UnmarshalWithOption(body, h, json.DecodeNoCopyString())
	if wrongType := (*json.UnmarshalTypeError)(nil); err == nil || errors.As(err, &wrongType) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotJSON, err)
}
