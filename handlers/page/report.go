package page

import (
	"net/url"
	"slices"
)

// report is what the API has of GET /api/v1/report/page.
type report struct {
	Title   string   `json:"title"`
	Summary []string `json:"summary"`
	Charts  []struct {
		Title string `json:"title"`
		About string `json:"about"`
		SVG   string `json:"svg"`
	} `json:"charts"`
	Tables []struct {
		Title string `json:"title"`
		Rows  []struct {
			Name, Retries, Passed, Saved, Wasted, Cost, Outcomes string
		} `json:"rows"`
	} `json:"tables"`
	Runners []struct {
		Name         string `json:"name"`
		FailedBefore string `json:"failed_before"`
		Passed       string `json:"passed"`
	} `json:"runners"`
	DryRun bool   `json:"dry_run"`
	Cost   bool   `json:"cost"`
	JSON   string `json:"-"` // the address of the report for programs
}

// reportSpan is a span of time, and what people call it.
type reportSpan struct{ Value, Name string }

// reportSpans are those that can be selected.
var reportSpans = []reportSpan{{"1d", "a day"}, {"7d", "7 days"}, {"30d", "30 days"}, {"90d", "90 days"}}

// reportView is the data of the template.
type reportView struct {
	report
	Spans []reportSpan
	Since string
	Rules []string
}

// reportFields are what the view takes.
var reportFields = []field{{Name: "since", Label: "The last"}, rule, project, {Name: "dry_run", Label: "Of"}}

func readReport(r *request) (any, error) {
	v := reportView{Spans: reportSpans, Since: "7d"}
	query := given(r.Values)
	if span := query.Get("since"); span != "" {
		v.Since = span
	}
	if !slices.ContainsFunc(v.Spans, func(s reportSpan) bool { return s.Value == v.Since }) { // as a link has it
		v.Spans = append(slices.Clone(v.Spans), reportSpan{v.Since, v.Since})
	}
	query.Set("since", v.Since)
	if err := r.get("/api/v1/report/page", query, &v.report); err != nil {
		return nil, err
	}
	v.JSON = (&url.URL{Path: "/api/v1/report", RawQuery: query.Encode()}).String()
	var err error
	v.Rules, err = ruleNames(r)
	return v, err
}
